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


@dataclass(slots=True)
class WorkerStats:
    """Counted since the process began."""

    retries: int = 0
    connection_failures: int = 0


class Workers:
    """With `upstream`, a load balancer stands before the workers: it does the retrying, and is told the deadline."""

    def __init__(self, client: WorkerClient, balancer: Balancer, *, upstream: bool = False) -> None:
        self.stats = WorkerStats()
        self._client = client
        self._balancer = balancer
        self._attempts = 1 if upstream else 2
        self._timeouts = (headers.TIMEOUT_MS, headers.ENVOY_UPSTREAM_TIMEOUT_MS) if upstream else (headers.TIMEOUT_MS,)

    async def infer(self, target: Target, request: InferRequest) -> InferResponse:
        """The worker's answer.

        Raises the worker's own error; WorkerUnavailable where no connection held; DeadlineExceeded.
        """
        body, json_length = encode_request(request)
        replica: Replica | None = None
        for attempt in range(self._attempts):
            replica = self._balancer.choose(target.replicas, avoid=replica)
            self.stats.retries += attempt
            replica.outstanding += 1
            try:
                # An inference changes nothing, so asking twice is safe however far the first attempt got.
                lines = self._lines(json_length, request.deadline)
                reply = await self._client.request(replica, b"POST", target.path, lines, body)
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
