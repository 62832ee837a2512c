"""The model repository extension of the Open Inference Protocol: what there is, and loading and unloading it."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, Field

from gateway.api.errors import documented
from gateway.auth import AdminAccess, actor_of, guarded
from gateway.membership import Membership
from model_service.protocol.errors import InvalidInput, ModelNotReady
from storage.registry import Registry
from storage.views import ModelView, VersionView

POLL_S: Final = 0.05


class IndexRequest(BaseModel):
    """Which versions to list."""

    ready: bool = Field(False, description="Only versions that can be asked.")


class IndexEntry(BaseModel):
    """One version of a model; `reason` says why it can't be asked."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str = ""


class LoadRequest(BaseModel):
    """What a client may say about loading or unloading."""

    parameters: dict[str, Any] = {}


class Loaded(BaseModel):
    name: str
    load: bool = True


class Unloaded(BaseModel):
    name: str
    unload: bool = True


def router(membership: Membership, registry: Registry, access: AdminAccess, limit_s: float) -> APIRouter:
    """Loading and unloading wait for the workers, for `limit_s` seconds at most."""
    # Clients of this extension send JSON without saying that it is.
    router = APIRouter(prefix="/v2/repository", tags=["Model repository"], strict_content_type=False)
    changing = guarded(access, strict_content_type=False, responses=documented(400, 401, 403, 404, 413, 503))

    @router.post("/index", summary="All versions of all models", responses=documented(400, 503))
    async def repository_index(asked: Annotated[IndexRequest | None, Body()] = None) -> list[IndexEntry]:
        entries = [
            _entry(model, version, membership) for model in await registry.models() for version in model.versions
        ]
        return [entry for entry in entries if entry.state == "READY" or asked is None or not asked.ready]

    @changing.post("/models/{model}/load", summary="Load a model and wait until it can be asked")
    async def repository_load(
        model: str, request: Request, asked: Annotated[LoadRequest | None, Body()] = None
    ) -> Loaded:
        """Its versions that an alias or a route names are loaded. Models come into the repository by the admin API."""
        if asked is not None and asked.parameters:
            raise InvalidInput(
                f"loading takes no parameters ({', '.join(asked.parameters)} came): the registry says what is loaded"
            )
        await registry.set_enabled(model, True, actor=actor_of(request))
        await _until(lambda: _answers(membership, model), membership, limit_s, f"model '{model}' is still loading")
        return Loaded(name=model)

    @changing.post("/models/{model}/unload", summary="Unload a model and wait until it is gone")
    async def repository_unload(
        model: str, request: Request, asked: Annotated[LoadRequest | None, Body()] = None
    ) -> Unloaded:
        """All its versions leave the workers; they stay in the registry."""
        await registry.set_enabled(model, False, actor=actor_of(request))
        await _until(
            lambda: not _is_loaded(membership, model), membership, limit_s, f"model '{model}' is still being unloaded"
        )
        return Unloaded(name=model)

    router.include_router(changing)
    return router


async def _until(done: Callable[[], bool], membership: Membership, limit_s: float, otherwise: str) -> None:
    """Raises ModelNotReady where it takes longer."""
    give_up = monotonic() + limit_s
    await membership.refresh()
    while not done():
        if monotonic() > give_up:
            raise ModelNotReady(otherwise, retry_after=1)
        await asyncio.sleep(POLL_S)  # the table is refreshed by itself


def _answers(membership: Membership, model: str) -> bool:
    """Raises ModelNotReady where it never will."""
    try:
        membership.table.resolve(model, None)
    except ModelNotReady as error:
        if error.retry_after is None:
            raise
        return False
    return True


def _is_loaded(membership: Membership, model: str) -> bool:
    return any(target.replicas for target in membership.table.model(model).versions.values())


def _entry(model: ModelView, version: VersionView, membership: Membership) -> IndexEntry:
    entry = IndexEntry(name=model.name, version=str(version.number), state="UNAVAILABLE")
    route = membership.table.models.get(model.name)
    target = route.versions.get(entry.version) if route else None
    if target is not None and target.replicas:
        entry.state = "READY"
    elif not model.enabled:
        entry.reason = "unloaded"
    elif version.failure is not None:
        entry.reason = version.failure
    elif version.number in model.aliases.values() or entry.version in (model.weights or {}):
        entry.state = "LOADING"
    else:
        entry.reason = "no alias and no route names it"
    return entry
