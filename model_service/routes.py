"""The worker's HTTP: the Open Inference Protocol v2 over the loaded models, as ASGI objects."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Final

from prometheus_client import CollectorRegistry
from starlette.routing import Route

from model_service.models import Models
from model_service.reconcile import Reconciler
from model_service.reports import metadata, repository_index, server_metadata, statistics
from service.answers import send_error, send_inference, send_json
from service.asgi import Headers, Receive, Scope, Send, deadline_of, headers_of, json_length, number_in
from service.bodies import read_body
from service.budget import Budget, Share
from service.cancel_scope import CancelScope, send_interim
from service.exchange import Exchange
from service.metrics_page import MetricsPage
from service.offload import LARGE, run_in_thread_if_large
from service.request_record import RequestRecord
from service.tracing import UNTRACED, Tracer
from wire import headers as names
from wire.codec import bytes_to_read, decode_request, encode_response
from wire.errors import ClientGone, ModelNotReady, ServingError, TooLarge
from wire.json_body import DEFAULT, JsonLimits
from wire.messages import InferRequest, InferResponse
from wire.tensors import size_of

PathParams = Mapping[str, str]

MAX_S: Final = 300.0  # for a request without a deadline, from its first byte until its answer is with the client

# In a scope: what came of a request that was begun without ASGI.
OUTCOME: Final = "headrace.outcome"
_TOOK: Final = names.TOOK_US + b": %d\r\n"
_JSON: Final = b"content-type: application/json\r\n"
_OCTETS: Final = b"content-type: application/octet-stream\r\n" + names.INFERENCE_HEADER_CONTENT_LENGTH + b": %d\r\n"

_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = "/v2/models/{model}/versions/{version}"


@dataclass(slots=True, frozen=True)
class Limits:
    """Bytes of one body, JSON and answer, and of all requests together."""

    body_bytes: int = 64 << 20
    answer_bytes: int = 64 << 20
    json: JsonLimits = DEFAULT
    budget: Budget = field(default_factory=Budget)


class Infer:
    """`POST /v2/models/{model}[/versions/{version}]/infer`, as JSON or with binary tensors; `route` is which."""

    def __init__(self, models: Models, limits: Limits, tracer: Tracer, route: str) -> None:
        self._models = models
        self._limits = limits
        self._tracer = tracer
        self._route = route
        self._span_name = f"POST {route}"
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = monotonic()
        headers = headers_of(scope)
        record = RequestRecord(scope, headers, started, self._tracer.request(self._span_name, headers, started))
        try:
            await self._serve(record, receive, send)
        except Exception as error:
            await record.fail(error, send, _send_error)
        record.end_span(self._route)

    def begin(self, exchange: Exchange) -> None:
        """Serve a small request without ASGI, where it is not traced and no suspect."""
        headers = exchange.headers
        limits, size = self._limits, len(exchange.body)
        if (
            self._tracer is not UNTRACED
            or _is_suspect(headers)
            or size > limits.body_bytes
            or not limits.budget.has_room(size)
        ):
            return exchange.serve_by_application()
        task = asyncio.get_running_loop().create_task(self._respond(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _respond(self, exchange: Exchange) -> None:
        headers, scope = exchange.headers, exchange.scope
        try:
            with CancelScope(scope), self._limits.budget.share() as share:
                share.reserve(len(exchange.body))
                loaded = self._models.get(exchange.params["model"], exchange.params.get("version"))
                deadline, length = deadline_of(headers, exchange.started), json_length(headers)
                request = decode_request(exchange.body, length, loaded.name, None, deadline, self._limits.json)
                _complete(request, headers, scope)
                response = await loaded.infer(request)
            if size_of(response.outputs) > LARGE:
                return exchange.serve_by_application(**{OUTCOME: (request, response)})
            body, length = encode_response(response, request, self._limits.json)
            took = _TOOK % ((monotonic() - exchange.started) * 1e6)
            exchange.respond(200, took + (_JSON if length is None else _OCTETS % length), body)
        except ClientGone:
            pass
        except Exception as error:
            exchange.serve_by_application(**{OUTCOME: error})

    async def _serve(self, record: RequestRecord, receive: Receive, send: Send) -> None:
        scope, headers, limits = record.scope, record.headers, self._limits
        if isinstance(outcome := scope.get(OUTCOME), Exception):
            raise outcome
        path = scope["path_params"]
        loaded = self._models.get(path["model"], path.get("version"))
        record.model, record.version = loaded.name, str(loaded.number)
        deadline, length = deadline_of(headers, record.started), json_length(headers)
        with CancelScope(scope), limits.budget.share() as share:
            body = await read_body(receive, headers, limits.body_bytes, share.reserve)
            if (size := len(body)) > LARGE:
                share.reserve(2 * size)
            if outcome is not None:
                request, response = outcome
            else:
                request = await run_in_thread_if_large(
                    bytes_to_read(body, length), decode_request, body, length, loaded.name, None, deadline, limits.json
                )
                del body  # the tensors hold what is in it
                request.suspect = _is_suspect(headers)
                _complete(request, headers, scope)
                request.span = record.span
                response = await loaded.infer(request)
            if (size := size_of(response.outputs)) <= LARGE:
                answer = encode_response(response, request, limits.json)
            else:
                answer = await self._large_answer(response, request, size, share)
            del request, response, outcome  # the client may take its time
            if len(answer[0]) <= LARGE:
                await send_inference(send, *answer)
            else:
                share.reserve(len(answer[0]))
                record.answering = True
                with CancelScope(scope, record.started + MAX_S if deadline is None else deadline):
                    await send_inference(send, *answer)

    async def _large_answer(
        self, response: InferResponse, request: InferRequest, size: int, share: Share
    ) -> tuple[bytes, int | None]:
        limits = self._limits
        if size > limits.answer_bytes:
            raise TooLarge(f"the answer has {size} bytes, this server sends {limits.answer_bytes}: ask for less")
        share.reserve(2 * size)
        return await run_in_thread_if_large(size, encode_response, response, request, limits.json)


def _complete(request: InferRequest, headers: Headers, scope: Scope) -> None:
    """Add to what the body says what the head and the connection do."""
    request.members = number_in(headers, names.MEMBERS) or 1
    request.send_interim = partial(send_interim, scope)


def _is_suspect(headers: Headers) -> bool:
    """Whether it was under way when another worker died: our gateway says so.

    Envoy says that it has asked another worker before, and whether that one was only silent.
    """
    if names.SUSPECT in headers:
        return True
    return headers.get(names.ENVOY_ATTEMPT, b"1") != b"1" and headers.get(names.ENVOY_TIMEOUT_RETRY) != b"true"


async def _send_error(scope: Scope, send: Send, error: ServingError) -> None:
    await send_error(send, error)


class JsonEndpoint:
    """Answers with what `tell` makes of the path's parameters, as JSON, and with `headers`."""

    def __init__(self, tell: Callable[[PathParams], Any], headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._tell = tell
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send_json(send, self._tell(scope["path_params"]), headers=self._headers)
        except ServingError as error:
            await send_error(send, error)


def infer_routes(models: Models, limits: Limits, tracer: Tracer) -> list[Route]:
    """Those of the fast path. They are matched one after the other: the one that gateways call comes first."""
    paths = [f"{path}/infer" for path in (_VERSION, _MODEL)]
    return [Route(path, Infer(models, limits, tracer, path), methods=["POST"]) for path in paths]


def routes(models: Models, reconciler: Reconciler, metrics: CollectorRegistry) -> list[Route]:
    """All others."""

    def ready(path: PathParams) -> Any:
        found = models.get(path["model"], path.get("version"))
        return {"name": found.name, "version": str(found.number), "ready": True}

    def server_ready(path: PathParams) -> Any:
        if reconciler.draining:
            raise ModelNotReady("this worker is draining")
        if not reconciler.settled.is_set():
            raise ModelNotReady("this worker is still loading what it is to serve")
        return {"ready": True}

    def model_statistics(path: PathParams) -> Any:
        if "version" in path:
            return statistics([models.get(path["model"], path["version"])])
        models.get(path["model"])
        return statistics([found for found in models if found.name == path["model"]])

    def json_routes(paths: Iterable[str], tell: Callable[[PathParams], Any], method: str = "GET") -> list[Route]:
        return [Route(path, JsonEndpoint(tell), methods=[method]) for path in paths]

    async def numbers() -> CollectorRegistry:
        return metrics

    return [
        Route(
            "/v2/health/ready",
            JsonEndpoint(server_ready, [(names.REPLICA, reconciler.replica_id.encode())]),
            methods=["GET"],
        ),
        *json_routes(["/v2/health/live"], lambda path: {"live": True}),
        *json_routes(["/v2", "/v2/"], lambda path: server_metadata()),
        *json_routes(["/v2/models/stats"], lambda path: statistics(models)),
        *json_routes([f"{_VERSION}/stats", f"{_MODEL}/stats"], model_statistics),
        *json_routes([f"{_VERSION}/ready", f"{_MODEL}/ready"], ready),
        *json_routes(
            [_VERSION, _MODEL],
            lambda path: metadata(models.get(path["model"], path.get("version")), models.versions(path["model"])),
        ),
        *json_routes(["/v2/repository/index"], lambda path: repository_index(reconciler.slots), method="POST"),
        Route("/metrics", MetricsPage(numbers), methods=["GET"]),
    ]
