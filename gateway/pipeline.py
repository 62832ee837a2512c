"""The whole story of a request: routed, looked up, or else computed by a worker."""

import struct
from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal, Protocol

from cache.key import cache_key
from cache.lookup import Lookup
from cache.response_cache import Outcome, ResponseCache
from gateway.cache_spans import record_lookup, record_peek
from gateway.gather import Workers
from gateway.routing import RouteTable, Target
from model_service.protocol.codec import decode_response, encode_response
from model_service.protocol.errors import DeadlineExceeded
from model_service.protocol.messages import InferRequest, InferResponse
from model_service.protocol.tracing import Span

CacheStatus = Literal["hit", "miss", "bypass"]
_BINARY: Final = InferRequest("", None, [], binary_output=True)


@dataclass(slots=True, frozen=True)
class Answer:
    """A response, and what the cache had to do with it."""

    response: InferResponse
    cache: CacheStatus


class Routes(Protocol):
    """Who knows the present route table."""

    table: RouteTable


class Gateway:
    """Every protocol's way to the models."""

    def __init__(self, routes: Routes, workers: Workers, cache: ResponseCache) -> None:
        self.routes = routes
        self.cache = cache
        self._workers = workers

    async def infer(self, request: InferRequest, *, scope: str = "", no_cache: bool = False) -> Answer:
        """The answer to `request`; a ServingError where there is none. `scope` keeps tenants' cached answers apart.

        Cancelled by its caller when nobody waits any more, the request's deadline included.
        """
        target = self.routes.table.resolve(request.model, request.version)
        if no_cache or target.cache_ttl_s == 0:
            return _answer(target, await self._workers.infer(target, request), "bypass")
        began = monotonic() if request.span is not None else 0.0
        outputs = [output.name for output in request.outputs]
        key = cache_key(scope, target.digest, request.inputs, outputs, request.parameters)
        if (held := self.cache.peek(key)) is not None:
            if request.span is not None:
                record_peek(request.span, began)
            return _answer(target, _unpack(held), "hit")
        return await self._cached(key, target, request, began)

    async def _cached(self, key: bytes, target: Target, request: InferRequest, began: float) -> Answer:
        while True:
            try:
                if request.span is None:
                    value, status = await self.cache.get_or_compute(
                        key, target.cache_ttl_s, lambda: self._compute(target, request)
                    )
                else:
                    value, status = await self._traced(request.span, key, target, request, began)
            except DeadlineExceeded:
                # It may be the deadline of the request that this one had joined: then compute on our own account.
                if request.deadline is None or (began := monotonic()) >= request.deadline:
                    raise
            else:
                return _answer(target, _unpack(value), status)

    async def _traced(
        self, span: Span, key: bytes, target: Target, request: InferRequest, began: float
    ) -> tuple[bytes, Outcome]:
        lookup, failed = Lookup(span), None
        try:
            return await self.cache.get_or_compute(
                key, target.cache_ttl_s, lambda: self._compute(target, request), lookup
            )
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            record_lookup(span, began, lookup, failed)

    async def _compute(self, target: Target, request: InferRequest) -> bytes:
        return _pack(await self._workers.infer(target, request))


def _answer(target: Target, response: InferResponse, cache: CacheStatus) -> Answer:
    # Named by the target: the same artifact may have been another version when the answer was computed.
    return Answer(InferResponse(target.model, target.version, response.outputs, response.parameters), cache)


def _pack(response: InferResponse) -> bytes:
    """A response as the cache keeps it: the length of its JSON, then its body in binary form."""
    body, length = encode_response(response, _BINARY)
    return struct.pack("<I", len(body) if length is None else length) + body


def _unpack(value: bytes) -> InferResponse:
    (length,) = struct.unpack_from("<I", value)
    return decode_response(value[4:], length)
