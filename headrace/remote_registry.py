"""The registry of a running platform, through its admin API."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from headrace.api import Api, not_ours
from storage.importers import Import
from storage.views import ModelView, ReplicaView, VersionView

CHUNK = 1 << 20
T = TypeVar("T")
MODELS = TypeAdapter(list[ModelView])
REPLICAS = TypeAdapter(list[ReplicaView])
VERSION = TypeAdapter(VersionView)


class RemoteRegistry:
    """Speaks to `api`; what it reads are the views that `storage` has on the other side."""

    def __init__(self, api: Api) -> None:
        self._api = api

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str | None) -> AsyncIterator["RemoteRegistry"]:
        async with Api.open(url, token) as api:
            yield cls(api)

    async def models(self) -> Sequence[ModelView]:
        return await self._read(MODELS, "GET", "/admin/models")

    async def replicas(self) -> Sequence[ReplicaView]:
        return await self._read(REPLICAS, "GET", "/admin/replicas")

    async def is_ready(self, version: VersionView) -> bool:
        """The gateway's own word: it hears of what workers have loaded a moment later than the registry does."""
        where = f"/v2/models/{quote(version.model, safe='')}/versions/{version.number}/ready"
        return (await self._api.send("GET", where)).is_success

    async def add(self, imported: Import, alias: str | None) -> VersionView:
        """Only the files that the platform has not got yet are sent."""
        manifest = imported.manifest
        for file in manifest.files:
            where = f"/admin/files/{file.sha256}"
            if not await self._api.has(where):
                length = {"content-length": str(file.size)}
                await self._api.call("PUT", where, content=read_chunks(imported.files[file.path]), headers=length)
        body: dict[str, Any] = {"manifest": manifest.model_dump(mode="json"), "alias": alias}
        return await self._read(VERSION, "POST", f"{_model(manifest.name)}/versions", body)

    async def promote(self, name: str, version: str, alias: str) -> VersionView:
        return await self._read(VERSION, "POST", f"{_model(name)}/promote", {"version": version, "alias": alias})

    async def rollback(self, name: str, alias: str) -> VersionView:
        return await self._read(VERSION, "POST", f"{_model(name)}/rollback", {"alias": alias})

    async def remove_alias(self, name: str, alias: str) -> None:
        await self._api.call("DELETE", f"{_model(name)}/aliases/{quote(alias, safe='')}")

    async def remove(self, name: str, version: int | None) -> None:
        await self._api.call("DELETE", _model(name) if version is None else f"{_model(name)}/versions/{version}")

    async def _read(self, adapter: TypeAdapter[T], method: str, path: str, body: dict[str, Any] | None = None) -> T:
        answer = await self._api.call(method, path, body)
        try:
            return adapter.validate_python(answer)
        except ValidationError as error:
            raise not_ours(self._api.url) from error


async def read_chunks(path: Path) -> AsyncIterator[bytes]:
    """The file's bytes, a piece at a time, so that a large artifact never stands in memory."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _model(name: str) -> str:
    return f"/admin/models/{quote(name, safe='')}"
