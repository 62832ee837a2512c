"""The admin API: what models there are, which version answers, and the files that they consist of."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path, Query, Request
from pydantic import BaseModel, Field, TypeAdapter
from starlette.responses import Response

from gateway.api.errors import error_responses
from gateway.api.guarded_router import guarded_router
from gateway.api.pieces import json_list
from gateway.auth import AdminAccess, actor_of
from gateway.membership import Membership
from storage.artifacts import ArtifactStore
from storage.manifest import Manifest, Whole
from storage.manifest import Number as Real
from storage.nulls import NullIsAbsent
from storage.registry import STABLE, Registry
from storage.stored_files import FileRef
from storage.views import EventView, ModelView, ReplicaView, VersionView
from wire.errors import InvalidInput, NotFound
from wire.json_body import JsonLimits

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="sha256 of the file's bytes.")]
Name = Annotated[str, Path(description="The model's name.")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="The version's number.")]
AliasName = Annotated[str, Path(description="The alias.")]
Alias = Annotated[str, Field(description="A movable name for a version; `stable` answers unversioned requests.")]

# A manifest with the labels of tens of thousands of classes. What is over this would hold up all other requests.
MANIFEST: Final = JsonLimits(
    bytes=2 << 20, values=50_000, names=5_000, otherwise="shorten its labels, provenance or list of files"
)

_BINARY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The file's bytes.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

_MODEL: Final = TypeAdapter(ModelView)


class Publication(NullIsAbsent):
    """A new version: every file that `manifest` names must have been uploaded.

    `alias` is pointed at it; without one a model's first version becomes `stable`, and others wait to be promoted.
    """

    manifest: Manifest
    alias: Alias | None = None


class Promotion(NullIsAbsent):
    """Which version `alias` shall name: a number, or another alias of the model."""

    version: Whole | str
    alias: Alias = STABLE


class Rollback(NullIsAbsent):
    """Which alias shall go back to the version that it named before."""

    alias: Alias = STABLE


class Weights(BaseModel):
    """Shares of the unversioned requests, by version number or alias; null gives them all to `stable`."""

    weights: dict[str, Real] | None


def router(
    registry: Registry, artifacts: ArtifactStore, membership: Membership, access: AdminAccess, max_file_bytes: int
) -> APIRouter:
    """What it changes is in the route table of this gateway before it answers, and in the others' a moment later."""
    router = guarded_router(access, MANIFEST, prefix="/admin", tags=["Admin"], responses=error_responses(401, 403, 503))

    @router.get("/models", summary="All models", response_model=list[ModelView])
    async def list_models(request: Request) -> Response:
        return await json_list(request, await registry.models(), _MODEL.dump_json)

    @router.get("/models/{name}", summary="One model", responses=error_responses(404))
    async def read_model(name: Name) -> ModelView:
        return await registry.model(name)

    @router.post(
        "/models/{name}/versions",
        summary="Publish a version",
        responses=error_responses(400, 409, 413),
        max_body_size=MANIFEST.bytes,
    )
    async def publish_version(name: Name, asked: Publication, request: Request) -> VersionView:
        """The same manifest again is the same version: publishing is safe to repeat."""
        manifest = asked.manifest
        if manifest.name != name:
            raise InvalidInput(f"the manifest is of model '{manifest.name}', the path names '{name}'")
        version = await registry.publish(manifest, alias=asked.alias, actor=actor_of(request), has=artifacts.has)
        await membership.refresh()
        return version

    @router.post("/models/{name}/promote", summary="Point an alias at a version", responses=error_responses(400, 404))
    async def promote(name: Name, asked: Promotion, request: Request) -> VersionView:
        """The version that the alias named before goes on answering until a worker has loaded the new one."""
        version = await registry.promote(name, asked.version, alias=asked.alias, actor=actor_of(request))
        await membership.refresh()
        return version

    @router.post(
        "/models/{name}/rollback",
        summary="Point an alias back at what it named before",
        responses=error_responses(400, 404, 409),
    )
    async def rollback(name: Name, request: Request, asked: Annotated[Rollback | None, Body()] = None) -> VersionView:
        """Each call goes one version further back."""
        version = await registry.rollback(name, alias=(asked or Rollback()).alias, actor=actor_of(request))
        await membership.refresh()
        return version

    @router.delete("/models/{name}/aliases/{alias}", summary="Remove an alias", responses=error_responses(404, 409))
    async def remove_alias(name: Name, alias: AliasName, request: Request) -> ModelView:
        """Not while a route names it, and never `stable`, which requests that name no version need. Its version stays,
        and is unloaded unless something else names it."""
        await registry.remove_alias(name, alias, actor=actor_of(request))
        await membership.refresh()
        return await registry.model(name)

    @router.put("/models/{name}/route", summary="Share a model's requests out", responses=error_responses(400, 404))
    async def set_route(name: Name, asked: Weights, request: Request) -> ModelView:
        await registry.set_route(name, asked.weights, actor=actor_of(request))
        await membership.refresh()
        return await registry.model(name)

    @router.post("/models/{name}/load", summary="Have workers load a model", responses=error_responses(404))
    async def load_model(name: Name, request: Request) -> ModelView:
        """Returns at once; `/v2/models/{model}/ready` says when it can be asked."""
        return await set_enabled(name, True, request)

    @router.post("/models/{name}/unload", summary="Have workers unload a model", responses=error_responses(404))
    async def unload_model(name: Name, request: Request) -> ModelView:
        """Returns at once; the model and its versions stay in the registry."""
        return await set_enabled(name, False, request)

    async def set_enabled(name: str, enabled: bool, request: Request) -> ModelView:
        await registry.set_enabled(name, enabled, actor=actor_of(request))
        await membership.refresh()
        return await registry.model(name)

    @router.post(
        "/models/{name}/versions/{number}/retry",
        summary="Try a failed version again",
        responses=error_responses(400, 404),
    )
    async def retry_version(name: Name, number: Number, request: Request) -> VersionView:
        version = await registry.retry(name, number, actor=actor_of(request))
        await membership.refresh()
        return version

    @router.delete("/models/{name}", status_code=204, summary="Remove a model", responses=error_responses(404))
    async def remove_model(name: Name, request: Request) -> None:
        """With all its versions, at once. Its events stay, and so do its files."""
        await registry.remove(name, actor=actor_of(request))
        await membership.refresh()

    @router.delete(
        "/models/{name}/versions/{number}", summary="Remove a version", responses=error_responses(400, 404, 409)
    )
    async def remove_version(name: Name, number: Number, request: Request) -> ModelView:
        """Not while an alias or a route names it. Its number is never given again."""
        await registry.remove(name, number, actor=actor_of(request))
        await membership.refresh()
        return await registry.model(name)

    @router.put(
        "/files/{sha256}",
        summary="Upload a file",
        responses=error_responses(400, 413),
        openapi_extra=_BINARY,
        max_body_size=max_file_bytes,
    )
    async def upload_file(sha256: Sha256, request: Request) -> FileRef:
        """The bytes are stored as they come, under the sha256 that they must have. Uploading again is safe."""
        return await artifacts.put(request.stream(), sha256)

    @router.head(
        "/files/{sha256}",
        summary="Whether a file is there",
        responses=error_responses(400, 404),
        response_class=Response,
    )
    async def has_file(sha256: Sha256) -> Response:
        if not await artifacts.has(sha256):
            raise NotFound(f"there is no file {sha256}: upload it, PUT /admin/files/{sha256}")
        return Response()

    @router.get("/events", summary="What was done, the latest first", responses=error_responses(400))
    async def list_events(
        model: Annotated[str | None, Query(pattern="^[A-Za-z0-9._-]{1,128}$", description="Of this one only.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[EventView]:
        return await registry.events(model, limit)

    @router.get("/replicas", summary="The workers and what they have loaded")
    async def list_replicas() -> list[ReplicaView]:
        return await registry.replicas()

    return router
