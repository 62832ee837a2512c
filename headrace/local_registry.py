"""The registry on this machine: its database and its artifacts, without a gateway between."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from headrace.data_folder import DataFolder
from headrace.errors import CommandError
from storage.artifacts import ArtifactStore, open_store
from storage.database import PATIENCE_S, Database
from storage.errors import StorageError
from storage.registry import Registry as Rows
from storage.views import ModelView, ReplicaView, VersionView

if TYPE_CHECKING:
    from storage.importers import Import

ACTOR = "headrace"


class LocalRegistry:
    """`rows` is the registry's database, `files` its artifacts."""

    def __init__(self, rows: Rows, files: ArtifactStore) -> None:
        self.rows = rows
        self.files = files

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, artifacts_url: str) -> AsyncIterator["LocalRegistry"]:
        with explain_storage_errors():
            database = Database.open(database_url, patience_s=PATIENCE_S)
            files = open_store(artifacts_url)
        try:
            yield cls(Rows(database), files)
        finally:
            await database.close()

    async def models(self) -> Sequence[ModelView]:
        with explain_storage_errors():
            return await self.rows.models()

    async def replicas(self) -> Sequence[ReplicaView]:
        with explain_storage_errors():
            return await self.rows.replicas()

    async def is_ready(self, version: VersionView) -> bool:
        states = [replica.versions.get(str(version.id), {}) for replica in await self.replicas()]
        return any(state.get("state") == "ready" for state in states)

    async def add(self, imported: "Import", alias: str | None) -> VersionView:
        with explain_storage_errors():
            for file in imported.manifest.files:
                # What is stored is what was checked, whatever became of the file since.
                await self.files.put_file(imported.files[file.path], file.sha256)
            return await self.rows.publish(imported.manifest, alias=alias, actor=ACTOR, has=self.files.has)

    async def promote(self, name: str, version: str, alias: str) -> VersionView:
        with explain_storage_errors():
            return await self.rows.promote(name, version, alias=alias, actor=ACTOR)

    async def rollback(self, name: str, alias: str) -> VersionView:
        with explain_storage_errors():
            return await self.rows.rollback(name, alias=alias, actor=ACTOR)

    async def remove_alias(self, name: str, alias: str) -> None:
        with explain_storage_errors():
            await self.rows.remove_alias(name, alias, actor=ACTOR)

    async def remove(self, name: str, version: int | None) -> None:
        with explain_storage_errors():
            await self.rows.remove(name, version, actor=ACTOR)


async def prepare(data: DataFolder) -> None:
    """Make the tables of a platform's folder, or bring them up to date: nothing where they are.

    A file that is there may be one that another command has only begun to make.
    """
    from storage.migrate import upgrade

    with explain_storage_errors():
        await upgrade(data.database_url)


@contextmanager
def explain_storage_errors() -> Iterator[None]:
    """What storage says is wrong, as the command's own error."""
    try:
        yield
    except StorageError as error:
        raise CommandError(str(error)) from error
