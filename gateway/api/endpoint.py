"""The way in and out that all inference protocols share: an ASGI object, as no framework stands on the hot path."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol

from gateway.admission import Admission
from gateway.api import compression
from gateway.api.errors import refuse
from gateway.metrics import Metrics
from gateway.pipeline import Answer, Gateway
from gateway.request_log import RequestLog
from model_service.protocol import headers as names
from model_service.protocol import http
from model_service.protocol.errors import ClientGone, ModelNotReady, ServingError
from model_service.protocol.http import Headers, Receive, Scope, Send
from model_service.protocol.messages import InferRequest
from model_service.protocol.status import http_status
from model_service.protocol.trace_context import handed_on, recorded_trace
from model_service.protocol.tracing import MODEL, UNTRACED, VERSION, Tracer, end_request

log = logging.getLogger(__name__)

PROTOCOL: Final = "headrace.protocol"
REQUEST_ID: Final = "headrace.request_id"

_WAIT_S: Final = 0.1  # between two looks at whether a model that is waited for is loaded

Rendered = tuple[bytes, list[tuple[bytes, bytes]]]  # a body, and the headers that describe it


@dataclass(slots=True, frozen=True)
class Question:
    """A request, and how its answer looks in the protocol that it came by.

    With `wait`, a model that is not loaded yet is waited for, until the deadline.
    """

    request: InferRequest
    render: Callable[[Answer], Rendered]
    no_cache: bool = False
    wait: bool = False


class Decode(Protocol):
    """Reads one protocol's body. Raises InvalidInput, ModelNotFound."""

    def __call__(self, path: Mapping[str, str], headers: Headers, body: bytes) -> Question: ...


@dataclass(slots=True, frozen=True)
class Limits:
    """What a request may take: a place among those served at once, bytes of a body, and seconds from its first byte to
    its answer, unless it says and at most."""

    admission: Admission
    body_bytes: int
    default_timeout_s: float
    max_timeout_s: float


class InferenceEndpoint:
    """Serves one protocol's inference requests, which come to `route`."""

    def __init__(
        self,
        protocol: str,
        decode: Decode,
        gateway: Gateway,
        metrics: Metrics,
        requests: RequestLog,
        limits: Limits,
        tracer: Tracer = UNTRACED,
        route: str = "",
    ) -> None:
        self._protocol = protocol
        self._decode = decode
        self._gateway = gateway
        self._metrics = metrics
        self._requests = requests
        self._limits = limits
        self._tracer = tracer
        self._route = route
        self._span_name = f"POST {route}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = monotonic()
        model = version = outcome = ""
        body = b""
        status: int | None = 200
        admitted = False
        headers = http.headers_of(scope)
        span = self._tracer.request(self._span_name, headers, started)
        request_id = (names.REQUEST_ID, headers.get(names.REQUEST_ID) or os.urandom(8).hex().encode())
        try:
            deadline = self._deadline(headers, started)
            with self._limits.admission, http.Patience(scope, deadline):
                body = await http.read_body(receive, headers, self._limits.body_bytes)
                question = await http.sized(len(body), self._decode, scope["path_params"], headers, body)
                request = question.request
                request.deadline = deadline
                admitted = True
                if span is not None:
                    request.span = span
                    span.begin("admission", started).end(monotonic())
                elif names.TRACEPARENT in headers:
                    request.trace_headers = handed_on(headers)
                if request.model in self._gateway.routes.table.models:
                    model = request.model  # errors count for it too; other names would fill the memory
                answer = await self._answer(question, b"no-cache" in headers.get(names.CACHE_CONTROL, b"").lower())
            model, version, outcome = answer.response.model, answer.response.version, answer.cache
            size = sum([len(tensor.data) for tensor in answer.response.outputs])
            content, described = await http.sized(size, question.render, answer)
            if (coding := compression.wanted(headers)) is not None:
                content = await compression.compress(content, coding)
                described = [*described, (names.CONTENT_ENCODING, coding)]
            await http.send_answer(send, content, [*described, (names.CACHE_STATUS, answer.cache.encode()), request_id])
        except ClientGone as error:
            outcome, status = type(error).__name__, None
        except ServingError as error:
            outcome, status = type(error).__name__, http_status(error)
            await refuse(scope, send, error, [request_id])
        except Exception:
            outcome, status = "InternalError", 500
            log.exception("request %s failed", request_id[1].decode("latin-1"))
            await refuse(scope, send, ServingError("internal error"), [request_id])
        seconds = monotonic() - started
        trace = recorded_trace(headers) if span is None else span.trace_id
        self._metrics.answered(self._protocol, model, version, outcome, seconds, trace)
        if self._requests.wants(outcome):
            self._requests.write(request_id[1], trace, self._protocol, model, version, outcome, seconds, body)
        if span is not None:
            if not admitted:
                admission = span.begin("admission", started)
                admission.fail(outcome)
                admission.end(started + seconds)
            about = {
                PROTOCOL: self._protocol,
                MODEL: model,
                VERSION: version,
                REQUEST_ID: request_id[1].decode("latin-1"),
            }
            end_request(span, scope, self._route, status, outcome, about)

    async def _answer(self, question: Question, no_cache: bool) -> Answer:
        request, no_cache = question.request, no_cache or question.no_cache
        while True:
            try:
                return await self._gateway.infer(request, no_cache=no_cache)
            except ModelNotReady as error:
                left = 0.0 if request.deadline is None else request.deadline - monotonic()
                if not question.wait or error.retry_after is None or left <= _WAIT_S:
                    raise  # better this reason than that the deadline passed
            with self._limits.admission.left():
                await asyncio.sleep(_WAIT_S)

    def _deadline(self, headers: Headers, started: float) -> float:
        asked = http.deadline_of(headers, started)
        if asked is None:
            return started + self._limits.default_timeout_s
        return min(asked, started + self._limits.max_timeout_s)
