"""Asks a replica of a version for an answer, and another one if the connection breaks: the one layer that retries."""

from dataclasses import dataclass
from time import monotonic

import orjson

from gateway.balancer import Balancer, Replica
from gateway.connection import ConnectionFailed, Reply
from gateway.routing import Target
from gateway.worker_client import WorkerClient
from model_service.protocol import headers
from model_service.protocol.codec import decode_response, encode_request
from model_service.protocol.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelNotReady,
    ServingError,
    WorkerUnavailable,
)
from model_service.protocol.messages import InferRequest, InferResponse
from model_service.protocol.status import from_wire
from model_service.protocol.tracing import MODEL, STATUS_CODE, UNTRACED, VERSION, Span, Tracer, step


@dataclass(slots=True)
class WorkerStats:
    """Counted since the process began."""

    retries: int = 0
    connection_failures: int = 0


class Workers:
    """With `upstream`, a load balancer stands before the workers: it does the retrying, and is told the deadline."""

    def __init__(
        self, client: WorkerClient, balancer: Balancer, *, upstream: bool = False, tracer: Tracer = UNTRACED
    ) -> None:
        self.stats = WorkerStats()
        self._client = client
        self._balancer = balancer
        self._tracer = tracer
        self._attempts = 1 if upstream else 2
        self._timeouts = (headers.TIMEOUT_MS, headers.ENVOY_UPSTREAM_TIMEOUT_MS) if upstream else (headers.TIMEOUT_MS,)

    async def infer(self, target: Target, request: InferRequest) -> InferResponse:
        """The worker's answer.

        Raises the worker's own error; WorkerUnavailable where no connection held; DeadlineExceeded.
        """
        if request.span is None:
            return await self._balance(target, request, None)
        with step(request.span, "balance", {MODEL: target.model, VERSION: target.version}) as span:
            return await self._balance(target, request, span)

    async def _balance(self, target: Target, request: InferRequest, span: Span | None) -> InferResponse:
        body, json_length = encode_request(request)
        replica: Replica | None = None
        for attempt in range(self._attempts):
            replica = self._balancer.choose(target.replicas, avoid=replica)
            self.stats.retries += attempt
            replica.outstanding += 1
            try:
                # An inference changes nothing, so asking twice is safe however far the first attempt got.
                lines = self._lines(json_length, request.deadline)
                if span is None:
                    lines += request.trace_headers or self._tracer.unrecorded()
                    reply = await self._client.request(replica, b"POST", target.path, lines, body)
                else:
                    reply = await self._traced(span, attempt, replica, target, lines, body)
            except ConnectionFailed as error:
                self.stats.connection_failures += 1
                replica.failed()
                failure = error
            else:
                replica.succeeded()
                return _response(reply)
            finally:
                replica.outstanding -= 1
        raise WorkerUnavailable(f"no worker could be reached: {failure}", retry_after=1)

    async def _traced(
        self, balance: Span, attempt: int, replica: Replica, target: Target, lines: bytes, body: bytes
    ) -> Reply:
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "server.address": replica.host,
            "server.port": replica.port,
            "url.full": replica.url.rstrip("/") + target.path.decode(),
        }
        if attempt:
            attributes["http.request.resend_count"] = attempt
        with step(balance, "POST", attributes, kind="client") as span:
            reply = await self._client.request(replica, b"POST", target.path, lines + span.headers, body)
            span.set({STATUS_CODE: reply.status})
            if reply.status >= 400:
                span.fail(str(reply.status))
        return reply

    def _lines(self, json_length: int, deadline: float | None) -> bytes:
        lines = b"%b: %d\r\n" % (headers.INFERENCE_HEADER_CONTENT_LENGTH, json_length)
        if deadline is None:
            return lines
        left = deadline - monotonic()
        if left <= 0:
            raise DeadlineExceeded
        for name in self._timeouts:
            lines += b"%b: %d\r\n" % (name, max(1, int(left * 1000)))
        return lines


def _response(reply: Reply) -> InferResponse:
    if reply.status != 200:
        raise _error(reply)
    length = reply.headers.get(headers.INFERENCE_HEADER_CONTENT_LENGTH)
    try:
        return decode_response(reply.body, int(length) if length else None)
    except InvalidInput as error:  # which the client's input was not
        raise ServingError(f"a worker's answer makes no sense: {error}") from error


def _error(reply: Reply) -> ServingError:
    try:
        message = str(orjson.loads(reply.body)["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):  # a load balancer's own words
        said = reply.body[:200].decode(errors="replace").strip()
        message = f"a worker, or what stands before it, answered {reply.status}: {said or 'it does not say why'}"
    code = reply.headers.get(headers.ERROR)
    if code == b"ModelNotFound":  # known here: that worker has just been started again
        return ModelNotReady(message, retry_after=1)
    retry_after = reply.headers.get(headers.RETRY_AFTER)
    return from_wire(
        reply.status, code.decode() if code else None, message, float(retry_after) if retry_after else None
    )
