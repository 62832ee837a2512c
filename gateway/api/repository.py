"""The model repository extension of the Open Inference Protocol: what there is, and loading and unloading it."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, StrictBool, ValidationError
from starlette.responses import Response

from gateway.admission import Admission
from gateway.api.errors import error_responses
from gateway.api.guarded_router import guarded_router
from gateway.api.pieces import json_list
from gateway.auth import AdminAccess, actor_of
from gateway.membership import Membership
from storage.nulls import NullIsAbsent
from storage.registry import Registry
from storage.views import ModelView, VersionView
from wire.errors import InvalidInput, ModelNotReady
from wire.json_body import DEFAULT, read_json
from wire.quote import quote

POLL_S: Final = 0.05
READERS: Final = 16  # requests that read the registry at once; others need it too
Asked = TypeVar("Asked", bound=BaseModel)


class IndexRequest(NullIsAbsent):
    """Which versions to list."""

    ready: StrictBool = Field(False, description="Only versions that can be asked.")


class IndexEntry(BaseModel):
    """One version of a model; `reason` says why it can't be asked."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str = ""


class LoadRequest(NullIsAbsent):
    """What a client may say about loading: nothing that this server could do is among it."""

    parameters: dict[str, Any] = Field(
        default_factory=dict, description="None is taken: the registry says what is loaded."
    )


class UnloadRequest(NullIsAbsent):
    """What a client may say about unloading."""

    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="`unload_dependents` alone, which changes nothing: no model depends on another.",
    )


class Loaded(BaseModel):
    name: str
    load: bool = True


class Unloaded(BaseModel):
    name: str
    unload: bool = True


def router(membership: Membership, registry: Registry, access: AdminAccess, limit_s: float) -> APIRouter:
    """Loading and unloading wait for the workers, for `limit_s` seconds at most."""
    router = APIRouter(prefix="/v2/repository", tags=["Model repository"])
    changing = guarded_router(access, responses=error_responses(400, 401, 403, 404, 413, 503))

    readers = Admission(READERS)

    @router.post(
        "/index",
        summary="All versions of all models",
        response_model=list[IndexEntry],
        responses=error_responses(400, 413, 429, 503),
        openapi_extra=_document_body(IndexRequest),
    )
    async def repository_index(
        request: Request, asked: Annotated[IndexRequest, Depends(_body_reader(IndexRequest))]
    ) -> Response:
        with readers:
            models = await registry.models()
            entries = (_entry(model, version, membership) for model in models for version in model.versions)
            chosen = (entry for entry in entries if entry.state == "READY" or not asked.ready)
            return await json_list(request, chosen, lambda entry: entry.model_dump_json().encode())

    @changing.post(
        "/models/{model}/load",
        summary="Load a model and wait until it can be asked",
        openapi_extra=_document_body(LoadRequest),
    )
    async def repository_load(
        model: str, request: Request, asked: Annotated[LoadRequest, Depends(_body_reader(LoadRequest))]
    ) -> Loaded:
        """Its versions that an alias or a route names are loaded. Models come into the repository by the admin API."""
        if given := _drop_nulls(asked.parameters):
            raise InvalidInput("; ".join([_why_not_load_with(name, model) for name in list(given)[:3]]))
        await registry.set_enabled(model, True, actor=actor_of(request))
        await _until(lambda: _answers(membership, model), membership, limit_s, f"model '{model}' is still loading")
        return Loaded(name=model)

    @changing.post(
        "/models/{model}/unload",
        summary="Unload a model and wait until it is gone",
        openapi_extra=_document_body(UnloadRequest),
    )
    async def repository_unload(
        model: str, request: Request, asked: Annotated[UnloadRequest, Depends(_body_reader(UnloadRequest))]
    ) -> Unloaded:
        """All its versions leave the workers; they stay in the registry."""
        for name, value in _drop_nulls(asked.parameters).items():
            if name != "unload_dependents":
                raise InvalidInput(f"unknown parameter '{name:.80}': unloading takes unload_dependents alone")
            if not isinstance(value, bool):
                raise InvalidInput(f"unload_dependents must be true or false, not {quote(value)}")
        await registry.set_enabled(model, False, actor=actor_of(request))
        await _until(
            lambda: not _is_loaded(membership, model), membership, limit_s, f"model '{model}' is still being unloaded"
        )
        return Unloaded(name=model)

    router.include_router(changing)
    return router


def _body_reader(shape: type[Asked]) -> Callable[[Request], Awaitable[Asked]]:
    """A dependency that reads the body, if there is one, whatever its type: clients name none, or `text/plain`."""

    async def read(request: Request) -> Asked:
        content = (await request.body()).strip()
        try:
            return shape.model_validate({} if content in (b"", b"null") else read_json(content, DEFAULT, "the body"))
        except ValidationError as error:
            problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
            raise RequestValidationError(problems) from error

    return read


def _document_body(shape: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": shape.model_json_schema()}}}}


def _drop_nulls(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _why_not_load_with(name: str, model: str) -> str:
    if name == "config":
        return f"loading takes no config: publish a version with it, POST /admin/models/{model}/versions"
    if name.startswith("file:"):
        return f"loading takes no files ('{name:.80}' came): upload them, PUT /admin/files, and publish a version"
    return f"loading takes no parameters ('{name:.80}' came): the registry says what is loaded"


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
    elif model.names(version.number):
        entry.state = "LOADING"
    else:
        entry.reason = "no alias and no route names it"
    return entry
