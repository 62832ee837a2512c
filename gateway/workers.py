"""Asks a replica of a version for an answer, and another one where that fails: the one layer that retries.

Another replica is asked where the connection to the first breaks, where the first is silent for longer than the model
ever takes (`pace`), and where it does not have the version: it has just been started again, or the version's engine has
died there and does not come back. Where no other replica can answer, one that was only silent is asked again and waited
for, as it may be starting the engine anew.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

import orjson

from gateway.attempts import ATTEMPTS, Attempts
from gateway.balancer import Balancer, Replica
from gateway.pace import Pace
from gateway.routing import Target
from gateway.worker_client import WorkerClient
from service.http_client import ConnectionFailed, NotConnected, Reply, Stalled
from service.offload import run_in_thread_if_large
from service.tracing import MODEL, STATUS_CODE, UNTRACED, VERSION, Tracer, step
from wire import headers
from wire.codec import decode_response, encode_request_parts
from wire.errors import (
    CrashingInput,
    DeadlineExceeded,
    InvalidInput,
    ModelNotReady,
    ServingError,
    WorkerUnavailable,
)
from wire.messages import InferRequest, InferResponse
from wire.refusals import REFUSED_S, fingerprint
from wire.spans import Span
from wire.status import from_wire
from wire.tensors import Data

# Errors by which a worker speaks of itself and not of the request. Suspect: the engine died, and this worker cannot
# run the request apart from others to see whether that was the request's fault.
_ASK_ELSEWHERE: Final = frozenset({b"ModelNotFound", b"ModelNotReady", b"Suspect"})


@dataclass(slots=True)
class WorkerStats:
    """Counted since the process began."""

    retries: int = 0
    connection_failures: int = 0
    stalled: int = 0  # of those: answers that were overdue


class Workers:
    """Computes by asking workers. With `upstream`, a load balancer stands before them: it retries, by the deadline."""

    def __init__(
        self, client: WorkerClient, balancer: Balancer, *, upstream: bool = False, tracer: Tracer = UNTRACED
    ) -> None:
        self.stats = WorkerStats()
        self._client = client
        self._balancer = balancer
        self._tracer = tracer
        self._upstream = upstream
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
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
        parts = encode_request_parts(request)
        pace = self._paces[target.digest]
        attempts = Attempts(target.replicas, 1 if self._upstream else ATTEMPTS)
        while True:
            replica = self._balancer.choose(attempts.candidates, attempts.tried, stay=pace.is_quick)
            self.stats.retries += len(attempts.tried) > 0
            attempts.begin(replica)
            replica.outstanding += 1
            try:
                # An inference changes nothing, so asking twice is safe however far the first attempt got.
                limit_s = self._limit_s(pace, request, replica, attempts)
                own_limit_s = None if self._upstream else limit_s  # a load balancer keeps it, and asks another worker
                lines = self._lines(len(parts[0]), request, limit_s)
                began = monotonic()
                if span is None:
                    lines += request.trace_headers or self._tracer.unrecorded_headers()
                    reply = await self._client.request(replica, b"POST", target.path, lines, parts, own_limit_s)
                else:
                    resent = len(attempts.tried) - 1
                    reply = await self._request_traced(span, resent, replica, target, lines, parts, own_limit_s)
            except ConnectionFailed as error:
                failure = error
            else:
                replica.record_success(now := monotonic())
                if reply.status == 200 and not reply.late:
                    self._record_pace(pace, request, now - began, limit_s, _worker_s(reply))
                elif attempts.elsewhere_left and (said := reply.headers.get(headers.ERROR, b"")) in _ASK_ELSEWHERE:
                    request.suspect = request.suspect or said == b"Suspect"
                    continue
                return await run_in_thread_if_large(len(reply.body), _response, reply, target, request)
            finally:
                replica.outstanding -= 1
            await self._recover(failure, replica, attempts, pace, request)

    def _limit_s(self, pace: Pace, request: InferRequest, replica: Replica, attempts: Attempts) -> float | None:
        """How long this try may take. A load balancer knows of another replica where there are several workers."""
        if not attempts.untried_left and not (self._upstream and replica.workers > 1):
            return None
        return pace.limit_s(_rows(request))

    def _record_pace(
        self, pace: Pace, request: InferRequest, took_s: float, limit_s: float | None, worker_s: float | None
    ) -> None:
        if limit_s is None or took_s <= limit_s:
            pace.record_answer(took_s, _rows(request), worker_s)
        else:  # a load balancer has asked another worker meanwhile: that says nothing of how long the model takes
            self.stats.stalled += 1
            pace.record_stall()

    async def _recover(
        self, failure: ConnectionFailed, replica: Replica, attempts: Attempts, pace: Pace, request: InferRequest
    ) -> None:
        """Remember what the failure says of the replica, so that another may be asked. Raises WorkerUnavailable."""
        self.stats.connection_failures += 1
        replica.record_failure()
        if not attempts.after_failure_left:
            raise WorkerUnavailable(f"no worker could be reached: {failure}", retry_after=1)
        if isinstance(failure, Stalled):
            attempts.record_silence()
            self.stats.stalled += 1
            pace.record_stall()
        elif not isinstance(failure, NotConnected) and not await self._client.reaches(replica):
            request.suspect = True  # the worker has died with it, and perhaps of it

    async def _request_traced(
        self,
        balance: Span,
        attempt: int,
        replica: Replica,
        target: Target,
        lines: bytes,
        parts: Sequence[Data],
        limit_s: float | None,
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
            reply = await self._client.request(replica, b"POST", target.path, lines + span.headers, parts, limit_s)
            span.set({STATUS_CODE: reply.status})
            if reply.status >= 400:
                span.fail(str(reply.status))
        return reply

    def _lines(self, json_length: int, request: InferRequest, limit_s: float | None) -> bytes:
        lines = b"%b: %d\r\n" % (headers.INFERENCE_HEADER_CONTENT_LENGTH, json_length)
        if request.suspect:
            lines += b"%b: 1\r\n" % headers.SUSPECT
        if request.members > 1:
            lines += b"%b: %d\r\n" % (headers.MEMBERS, request.members)
        if self._upstream and limit_s is not None:
            lines += b"%b: %d\r\n" % (headers.ENVOY_TRY_TIMEOUT_MS, int(limit_s * 1000))
        if request.deadline is None:
            return lines
        left = request.deadline - monotonic()
        if left <= 0:
            raise DeadlineExceeded
        for name in self._timeouts:
            lines += b"%b: %d\r\n" % (name, max(1, int(left * 1000)))
        return lines


def _rows(request: InferRequest) -> int:
    return request.inputs[0].rows if request.inputs else 1


def _response(reply: Reply, target: Target, request: InferRequest) -> InferResponse:
    if reply.status != 200:
        error = _error(reply)
        if isinstance(error, CrashingInput):
            target.refusals.add(fingerprint(request), str(error), error.retry_after or REFUSED_S)
        raise error
    length = reply.headers.get(headers.INFERENCE_HEADER_CONTENT_LENGTH)
    try:
        response = decode_response(reply.body, int(length) if length else None)
    except InvalidInput as error:  # which the client's input was not
        raise ServingError(f"a worker's answer makes no sense: {error}") from error
    response.took_s = _worker_s(reply)
    return response


def _worker_s(reply: Reply) -> float | None:
    """What the worker took, where it has said so."""
    took_us = reply.headers.get(headers.TOOK_US)
    return int(took_us) / 1e6 if took_us else None


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
