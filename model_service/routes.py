"""The worker's HTTP: the Open Inference Protocol v2 over the loaded models, as ASGI objects."""

import logging
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.routing import Route

from model_service.models import LoadedModel, Models
from model_service.protocol import headers as names
from model_service.protocol import http
from model_service.protocol.codec import decode_request, encode_response
from model_service.protocol.errors import ClientGone, ModelNotReady, ServingError
from model_service.protocol.http import Receive, Scope, Send
from model_service.protocol.logs import FIELDS
from model_service.protocol.status import http_status
from model_service.protocol.trace_context import recorded_trace
from model_service.protocol.tracing import Tracer, end_request
from model_service.reconcile import Reconciler
from model_service.reports import metadata, repository_index, server_metadata, statistics

log = logging.getLogger(__name__)
Path = Mapping[str, str]

_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = "/v2/models/{model}/versions/{version}"


class Infer:
    """`POST /v2/models/{model}[/versions/{version}]/infer`, as JSON or with binary tensors; `route` is which."""

    def __init__(self, models: Models, max_body_bytes: int, tracer: Tracer, route: str) -> None:
        self._models = models
        self._max_body_bytes = max_body_bytes
        self._tracer = tracer
        self._route = route
        self._span_name = f"POST {route}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = monotonic()
        headers = http.headers_of(scope)
        span = self._tracer.request(self._span_name, headers, arrived)
        loaded: LoadedModel | None = None
        outcome: str = "success"
        status: int | None = 200
        try:
            path = scope["path_params"]
            loaded = self._models.get(path["model"], path.get("version"))
            deadline, length = http.deadline_of(headers, arrived), http.json_length(headers)
            with http.Patience(scope):
                body = await http.read_body(receive, headers, self._max_body_bytes)
                request = await http.sized(len(body), decode_request, body, length, loaded.name, None, deadline)
                if span is not None:
                    request.span = span
                response = await loaded.infer(request)
            size = sum([len(tensor.data) for tensor in response.outputs])
            await http.send_inference(send, *await http.sized(size, encode_response, response, request))
        except ClientGone as error:
            outcome, status = type(error).__name__, None
        except ServingError as error:
            outcome, status = type(error).__name__, http_status(error)
            await http.send_error(send, error)
        except Exception:
            outcome, status = "InternalError", 500
            log.exception("%s failed", scope["path"], extra={FIELDS: {"trace_id": recorded_trace(headers)}})
            await http.send_error(send, ServingError("internal error"))
        if span is not None:
            about = {} if loaded is None else loaded.named
            end_request(span, scope, self._route, status, outcome, about)


class Told:
    """Answers with the JSON that `tell` makes of the path's parameters."""

    def __init__(self, tell: Callable[[Path], Any]) -> None:
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await http.send_json(send, self._tell(scope["path_params"]))
        except ServingError as error:
            await http.send_error(send, error)


class Metrics:
    """`GET /metrics`, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # OpenMetrics for whoever takes it, as exemplars are in that alone.
        encode, content_type = choose_encoder(http.headers_of(scope).get(names.ACCEPT, b"").decode("latin-1"))
        await http.send_answer(send, encode(self._registry), [(names.CONTENT_TYPE, content_type.encode())])


def infer_routes(models: Models, max_body_bytes: int, tracer: Tracer) -> list[Route]:
    """The hot ones; they are matched one after the other, and the gateway's comes first."""
    paths = [f"{path}/infer" for path in (_VERSION, _MODEL)]
    return [Route(path, Infer(models, max_body_bytes, tracer, path), methods=["POST"]) for path in paths]


def routes(models: Models, reconciler: Reconciler, metrics: CollectorRegistry) -> list[Route]:
    """All others."""

    def ready(path: Path) -> Any:
        found = models.get(path["model"], path.get("version"))
        return {"name": found.name, "version": str(found.number), "ready": True}

    def server_ready(path: Path) -> Any:
        if reconciler.draining:
            raise ModelNotReady("this worker is draining")
        if not reconciler.settled.is_set():
            raise ModelNotReady("this worker is still loading what it is to serve")
        return {"ready": True}

    def model_statistics(path: Path) -> Any:
        if "version" in path:
            return statistics([models.get(path["model"], path["version"])])
        models.get(path["model"])
        return statistics([found for found in models if found.name == path["model"]])

    def told(paths: Iterable[str], tell: Callable[[Path], Any], method: str = "GET") -> list[Route]:
        return [Route(path, Told(tell), methods=[method]) for path in paths]

    return [
        *told(["/v2/health/ready"], server_ready),
        *told(["/v2/health/live"], lambda path: {"live": True}),
        *told(["/v2", "/v2/"], lambda path: server_metadata()),
        *told(["/v2/models/stats"], lambda path: statistics(models)),
        *told([f"{_VERSION}/stats", f"{_MODEL}/stats"], model_statistics),
        *told([f"{_VERSION}/ready", f"{_MODEL}/ready"], ready),
        *told(
            [_VERSION, _MODEL],
            lambda path: metadata(models.get(path["model"], path.get("version")), models.versions(path["model"])),
        ),
        *told(["/v2/repository/index"], lambda path: repository_index(reconciler.slots), method="POST"),
        Route("/metrics", Metrics(metrics), methods=["GET"]),
    ]
