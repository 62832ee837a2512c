"""Open Inference Protocol v2 beside inference: what there is, whether it is ready, and what it has done so far."""

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from gateway.api.errors import error_responses
from gateway.api.meta import NAME, release
from gateway.api.pieces import json_answer
from gateway.api.statistics import ModelStatistics, select, statistics
from gateway.membership import Membership
from gateway.routing import DEFAULT_ALIAS, ModelRoute, Target
from gateway.siblings import Siblings
from gateway.worker_client import WorkerClient
from service.shared import Shared
from wire.engines import engine_named
from wire.errors import ModelNotReady, NotFound

_EXTENSIONS: Final = ("binary_tensor_data", "model_repository", "parameters", "statistics")


_SHARED_MEMORY: Final = "shared memory is not offered: send tensors with the request, in binary"
_CONFIG: Final = "the model configuration extension is not offered: GET /v2/models/{model} describes it"
_TRACE: Final = "the trace extension is not offered: OTEL_EXPORTER_OTLP_ENDPOINT switches tracing on"
_GENERATE: Final = "the generate extension is not offered: POST /v2/models/{model}/infer"
# What clients of Triton may ask for and this server does not have; the paths after /v2.
_NOT_OFFERED: Final = {
    "/models/{model}/config": _CONFIG,
    "/models/{model}/versions/{version}/config": _CONFIG,
    "/models/{model}/trace/setting": _TRACE,
    "/trace/setting": _TRACE,
    "/logging": "the logging extension is not offered: HEADRACE_LOG_LEVEL sets what is logged",
    "/models/{model}/generate": _GENERATE,
    "/models/{model}/generate_stream": _GENERATE,
    "/systemsharedmemory/{rest:path}": _SHARED_MEMORY,
    "/cudasharedmemory/{rest:path}": _SHARED_MEMORY,
}


class ServerMetadata(BaseModel):
    """`extensions` are the optional parts of the protocol that this server has."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    live: bool


class Ready(BaseModel):
    ready: bool


class ModelNames(BaseModel):
    models: list[str]


class ModelReady(BaseModel):
    name: str
    ready: bool


class TensorMetadata(BaseModel):
    """`shape` has -1 where any size goes."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """`versions` are those that can be asked for now; `inputs` and `outputs` those of the version that was meant."""

    name: str
    versions: list[str] = Field(description="Numbers of the versions that are loaded.")
    platform: str
    task: str = Field(description="What stands around the graph: raw tensors, or what makes texts into them.")
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


def router(membership: Membership, client: WorkerClient, siblings: Siblings) -> APIRouter:
    """Reads the route table; only statistics ask the workers."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
    shared = Shared(lambda: statistics(membership, client, siblings))

    # Both answer, as a client that gets a redirect may not follow it.
    @router.get("/", include_in_schema=False)
    @router.get("", summary="Server metadata")
    async def server_metadata() -> ServerMetadata:
        return ServerMetadata(name=NAME, version=release(), extensions=list(_EXTENSIONS))

    @router.get("/health/live", summary="Whether the gateway runs")
    async def server_live() -> Live:
        return Live(live=True)

    @router.get("/health/ready", summary="Whether requests can be answered", responses=error_responses(503))
    async def server_ready() -> Ready:
        """Ready once the registry has been read and at least one worker is alive.

        A platform without any model is ready: it answers what it is asked, and a model can be added. Whether one model
        can be asked says `/v2/models/{model}/ready`.
        """
        if not membership.table.loaded:
            raise ModelNotReady("the registry has not been read yet", retry_after=1)
        if not any(replica.healthy for replica in membership.replicas.values()):
            raise ModelNotReady("no worker is alive", retry_after=1)
        return Ready(ready=True)

    @router.get("/models", summary="The names of all models")
    async def list_model_names() -> ModelNames:
        return ModelNames(models=sorted(membership.table.models))

    # Before /models/{model}, which would take `stats` for a model's name.
    @router.get(
        "/models/stats",
        summary="Statistics of all models",
        response_model=ModelStatistics,
        responses=error_responses(503),
    )
    async def statistics_of_all(request: Request) -> Response:
        return json_answer(request, select(await shared.get()))

    @router.get("/models/{model}", summary="Model metadata", responses=error_responses(404))
    async def model_metadata(model: str) -> ModelMetadata:
        """The tensors that the model takes and gives: those of `stable`, or, without it, of a version that answers."""
        route = membership.table.model(model)
        return _metadata(route, route.versions.get(DEFAULT_ALIAS) or route.resolve(None))

    @router.get("/models/{model}/versions/{version}", summary="Metadata of a version", responses=error_responses(404))
    async def version_metadata(model: str, version: str) -> ModelMetadata:
        """A version is named by its number or by an alias."""
        route = membership.table.model(model)
        return _metadata(route, route.resolve(version))

    @router.get("/models/{model}/ready", summary="Whether a model can be asked", responses=error_responses(404, 503))
    async def model_ready(model: str) -> ModelReady:
        """Ready while at least one worker has the version loaded that answers."""
        membership.table.resolve(model, None)
        return ModelReady(name=model, ready=True)

    @router.get(
        "/models/{model}/versions/{version}/ready",
        summary="Whether a version can be asked",
        responses=error_responses(404, 503),
    )
    async def version_ready(model: str, version: str) -> ModelReady:
        """Ready while at least one worker has it loaded."""
        membership.table.resolve(model, version)
        return ModelReady(name=model, ready=True)

    @router.get(
        "/models/{model}/stats",
        summary="Statistics of a model",
        response_model=ModelStatistics,
        responses=error_responses(404, 503),
    )
    async def model_statistics(request: Request, model: str) -> Response:
        """Of all its versions that are loaded."""
        membership.table.model(model)
        return json_answer(request, select(await shared.get(), model))

    @router.get(
        "/models/{model}/versions/{version}/stats",
        summary="Statistics of a version",
        response_model=ModelStatistics,
        responses=error_responses(404, 503),
    )
    async def version_statistics(request: Request, model: str, version: str) -> Response:
        number = membership.table.resolve(model, version).version
        return json_answer(request, select(await shared.get(), model, number))

    for path, reason in _NOT_OFFERED.items():
        router.add_api_route(path, _refuse_with(reason), methods=["GET", "POST"], include_in_schema=False)
    return router


def _refuse_with(reason: str) -> Callable[[Request], Awaitable[None]]:
    async def refuse(request: Request) -> None:
        raise NotFound(reason.format(**request.path_params))

    return refuse


def _metadata(route: ModelRoute, target: Target) -> ModelMetadata:
    manifest = target.manifest
    loaded = {other.version for other in route.versions.values() if other.replicas}
    return ModelMetadata(
        name=route.name,
        versions=sorted(loaded, key=int),
        platform=engine_named(manifest.runtime).platform,
        task=target.task.name,
        inputs=[TensorMetadata.model_validate(spec.model_dump()) for spec in manifest.inputs],
        outputs=[TensorMetadata.model_validate(spec.model_dump()) for spec in manifest.outputs],
    )
