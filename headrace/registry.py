"""The registry as the commands see it: on this machine's disk, or behind the admin API of a running platform."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from headrace.data_folder import DataFolder
from headrace.errors import CommandError, unknown_model
from headrace.options import Platform

if TYPE_CHECKING:
    from storage.importers import Import
    from storage.views import ModelView, ReplicaView, VersionView


class Registry(Protocol):
    """Every method raises CommandError where it cannot do what is asked."""

    async def models(self) -> Sequence["ModelView"]: ...

    async def replicas(self) -> Sequence["ReplicaView"]: ...

    async def is_ready(self, version: "VersionView") -> bool:
        """Whether a worker answers for the version, as far as those know who ask here."""
        ...

    async def add(self, imported: "Import", alias: str | None) -> "VersionView":
        """Bring the files that are missing and register the version. The same artifact again is the same version."""
        ...

    async def promote(self, name: str, version: str, alias: str) -> "VersionView":
        """Point `alias` at a version, named by its number or by another alias."""
        ...

    async def rollback(self, name: str, alias: str) -> "VersionView":
        """Point `alias` at the version that it pointed to before."""
        ...

    async def remove_alias(self, name: str, alias: str) -> None:
        """Take an alias away; the version that it names stays."""
        ...

    async def remove(self, name: str, version: int | None) -> None:
        """Remove one version, or the model with all of them."""
        ...


@asynccontextmanager
async def open_registry(platform: Platform, *, create: bool = False) -> AsyncIterator[Registry]:
    """The registry behind the platform's URL; without one, the registry on this machine.

    That one is in the platform's folder, unless HEADRACE_DATABASE_URL says where. Where the folder has none, it is made
    with `create`, and else CommandError is raised.
    """
    if platform.url is not None:
        from headrace.remote_registry import RemoteRegistry

        async with RemoteRegistry.open(platform.url, platform.token) as remote:
            yield remote
        return
    from headrace.local_registry import LocalRegistry, prepare
    from storage.settings import StorageSettings

    settings = StorageSettings()
    if "database_url" in settings.model_fields_set:
        async with LocalRegistry.open(settings.database_url, settings.artifacts_url) as local:
            yield local
    else:
        folder = DataFolder(platform.data)
        if create:
            await prepare(folder)
        elif not folder.database.exists():
            raise CommandError(
                f"there is no registry in {platform.data}",
                "`headrace models add SOURCE` makes one; --data names another folder, --url a running platform",
            )
        async with LocalRegistry.open(folder.database_url, str(folder.artifacts)) as local:
            yield local


def place_of(platform: Platform) -> str:
    """Where the registry is that `open_registry` opens, for people to read: "in /srv/.headrace"."""
    from storage.settings import StorageSettings

    if platform.url is not None:
        return f"at {platform.url}"
    if "database_url" in StorageSettings().model_fields_set:
        return "in the database of HEADRACE_DATABASE_URL"
    return f"in {DataFolder(platform.data).root}"


async def find(registry: Registry, name: str) -> "ModelView":
    """The model of that name. Raises CommandError with the names that come near it."""
    models = await registry.models()
    for model in models:
        if model.name == name:
            return model
    raise unknown_model(name, [model.name for model in models])
