"""Where versions are registered: in the database on this machine, or in a running platform through its admin API."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter

from storage.artifacts import ArtifactStore, open_store
from storage.database import PATIENCE_S, Database
from storage.errors import StorageError, UnknownModel
from storage.importers import Import
from storage.migrate import upgrade
from storage.registry import Registry
from storage.views import ModelView, VersionView

ACTOR = "headrace train"
CHUNK = 1 << 20
TIMEOUT = httpx.Timeout(60, connect=5)
_MODEL = TypeAdapter(ModelView)
_VERSION = TypeAdapter(VersionView)


class RegisterFailed(Exception):
    """The version could not be registered."""


class Destination(Protocol):
    """Every method raises RegisterFailed."""

    async def model(self, name: str) -> ModelView | None: ...

    async def publish(self, imported: Import, alias: str) -> VersionView:
        """Bring the files that are missing. The same artifact again is the same version."""
        ...

    async def promote(self, version: VersionView, alias: str) -> None: ...


class Local:
    """A registry's database and its artifacts."""

    def __init__(self, rows: Registry, files: ArtifactStore) -> None:
        self._rows, self._files = rows, files

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, artifacts_url: str) -> AsyncIterator["Local"]:
        """Tables that are missing or old are made as they should be."""
        with _explain_errors():
            await upgrade(database_url)
            database = Database.open(database_url, patience_s=PATIENCE_S)
            files = open_store(artifacts_url)
        try:
            yield cls(Registry(database), files)
        finally:
            await database.close()

    async def model(self, name: str) -> ModelView | None:
        with _explain_errors():
            try:
                return await self._rows.model(name)
            except UnknownModel:
                return None

    async def publish(self, imported: Import, alias: str) -> VersionView:
        with _explain_errors():
            for file in imported.manifest.files:
                await self._files.put_file(imported.files[file.path], file.sha256)
            return await self._rows.publish(imported.manifest, alias=alias, actor=ACTOR, has=self._files.has)

    async def promote(self, version: VersionView, alias: str) -> None:
        with _explain_errors():
            await self._rows.promote(version.model, version.number, alias=alias, actor=ACTOR)


class Remote:
    """A running platform; files go there a piece at a time, and only those that it has not got."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str | None) -> AsyncIterator["Remote"]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT) as client:
            yield cls(client)

    async def model(self, name: str) -> ModelView | None:
        answer = await self._send("GET", _path(name))
        return None if answer.status_code == 404 else _MODEL.validate_python(_json_of(answer))

    async def publish(self, imported: Import, alias: str) -> VersionView:
        for file in imported.manifest.files:
            where = f"/admin/files/{file.sha256}"
            if (await self._send("HEAD", where)).status_code != 200:
                length = {"content-length": str(file.size)}
                _json_of(await self._send("PUT", where, content=_chunks(imported.files[file.path]), headers=length))
        body = {"manifest": imported.manifest.model_dump(mode="json"), "alias": alias}
        answer = await self._send("POST", f"{_path(imported.manifest.name)}/versions", json=body)
        return _VERSION.validate_python(_json_of(answer))

    async def promote(self, version: VersionView, alias: str) -> None:
        body = {"version": version.number, "alias": alias}
        _json_of(await self._send("POST", f"{_path(version.model)}/promote", json=body))

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise RegisterFailed(f"{self._client.base_url} cannot be asked: {error!r}") from error


@contextmanager
def _explain_errors() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise RegisterFailed(str(error)) from error


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _json_of(answer: httpx.Response) -> Any:
    if answer.is_success:
        try:
            return answer.json()
        except ValueError as error:
            raise RegisterFailed(f"what answers at {answer.url} is no headrace gateway") from error
    hint = ": give the admin token in HEADRACE_ADMIN_TOKEN" if answer.status_code in (401, 403) else ""
    raise RegisterFailed(
        f"{answer.request.method} {answer.url} was answered {answer.status_code}: {answer.text[:300]}{hint}"
    )


def _path(name: str) -> str:
    return f"/admin/models/{quote(name, safe='')}"
