"""The way of a request from decoded to answered: routed, looked up in the cache, or else computed by a worker."""

import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal, Protocol

from cache.key import cache_key
from cache.lookup import Lookup
from cache.response_cache import Outcome, ResponseCache
from gateway.backend import InferenceBackend
from gateway.cache_spans import record_lookup, record_peek
from gateway.coalescing import Coalescer
from gateway.counts import new_counts
from gateway.routing import RouteTable, Target
from service.offload import LARGE, run_in_thread_if_large
from wire.codec import decode_response, encode_response
from wire.errors import DeadlineExceeded, InvalidInput, ServingError
from wire.messages import InferRequest, InferResponse
from wire.spans import Span
from wire.tensors import size_of

CacheStatus = Literal["hit", "miss", "bypass"]
_BINARY: Final = InferRequest("", None, [], binary_output=True)


@dataclass(slots=True)
class Answer:
    """A response, and what the cache had to do with it: its key and value, where that came out of memory at once."""

    response: InferResponse
    cache: CacheStatus
    cached: tuple[bytes, bytes] | None = None


class RouteTableSource(Protocol):
    """Has the present route table: `Membership`, which replaces it whole."""

    table: RouteTable


class Gateway:
    """Answers the requests of all protocols, by asking `workers` where the cache has no answer."""

    def __init__(self, membership: RouteTableSource, workers: InferenceBackend, cache: ResponseCache) -> None:
        self.membership = membership
        self.cache = cache
        self.counts = new_counts()
        self.coalescer = Coalescer(workers)

    async def infer(self, request: InferRequest, *, tenant: str = "", no_cache: bool = False) -> Answer:
        """The answer to `request`; a ServingError where there is none. What is cached for a `tenant` is its own.

        Cancelled by its caller when nobody waits any more, the request's deadline included.
        """
        target = self.resolve(request)
        if no_cache or target.cache_ttl_s == 0:
            return answer_of(target, await self.coalescer.infer(target, request), "bypass")
        began = monotonic()
        key = self.key(target, request, tenant)
        cached = self.cache.peek(key)
        if cached is not None and (response := await _read(cached)) is not None:
            return self._hit(target, request, response, began)
        return await self.fetch_or_compute(key, target, request, began, recompute=cached is not None)

    def resolve(self, request: InferRequest) -> Target:
        """The version that answers it. Raises ModelNotFound, ModelNotReady; CrashingInput for one that is refused."""
        target = self.membership.table.resolve(request.model, request.version)
        if target.refusals:
            target.refusals.check(request)
        return target

    def read_at_once(
        self, key: bytes, value: bytes, target: Target, request: InferRequest, began: float
    ) -> Answer | None:
        """The answer in a cached value, where it is small and is one. `began` is when the cache was asked."""
        if len(value) > LARGE or (response := _unpack(value)) is None:
            return None
        answer = self._hit(target, request, response, began)
        answer.cached = key, value
        return answer

    def key(self, target: Target, request: InferRequest, tenant: str = "") -> bytes:
        """Under which its answer is cached."""
        outputs = [output.name for output in request.outputs]
        return cache_key(tenant, target.digest, request.inputs, outputs, request.parameters)

    def _hit(self, target: Target, request: InferRequest, response: InferResponse, began: float) -> Answer:
        if request.span is not None:
            record_peek(request.span, began)
        self.count_hit(target.model, target.version, began)
        return answer_of(target, response, "hit")

    def count_hit(self, model: str, version: str, began: float) -> None:
        """`began`, in monotonic seconds, is when the cache was asked."""
        self.counts[model, version].hits.add(monotonic() - began)

    async def fetch_or_compute(
        self, key: bytes, target: Target, request: InferRequest, began: float, recompute: bool = False
    ) -> Answer:
        """The answer where `key` is not in memory; with `recompute` it is, but can't be read. Raises ServingError."""
        computation = _Computation(self.coalescer, target, request)
        while True:
            try:
                value, status = await self._look_up(request.span, key, target, computation.run, began, recompute)
            except DeadlineExceeded:
                # It may be the deadline of an equal request whose computation this one had joined: then begin one.
                if request.deadline is None or monotonic() >= request.deadline:
                    raise
                began = monotonic()
                continue
            if (response := computation.response or await _read(value)) is not None:
                self._count(target, status, began, computation.began)
                return answer_of(target, response, status)
            if status == "miss":
                raise ServingError("a worker's answer cannot be read back from the cache")
            recompute = True  # what is cached is no answer

    async def _look_up(
        self,
        span: Span | None,
        key: bytes,
        target: Target,
        compute: Callable[[], Awaitable[bytes]],
        began: float,
        recompute: bool,
    ) -> tuple[bytes, Outcome]:
        if span is None:
            return await self.cache.fetch_or_compute(key, target.cache_ttl_s, compute, recompute=recompute)
        lookup, failed = Lookup(span), None
        try:
            return await self.cache.fetch_or_compute(key, target.cache_ttl_s, compute, lookup, recompute=recompute)
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            record_lookup(span, began, lookup, failed)

    def _count(self, target: Target, status: Outcome, began: float, computation_began: float | None) -> None:
        counts = self.counts[target.model, target.version]
        if status == "hit":
            counts.hits.add(monotonic() - began)
        elif computation_began is None:  # an equal request's computation was shared
            counts.shared.add(monotonic() - began)
        else:
            counts.misses.add(computation_began - began)


@dataclass(slots=True)
class _Computation:
    """Asks a worker, where the cache has no answer and no equal request is being computed. `began` and `response` are
    None until then."""

    backend: InferenceBackend
    target: Target
    request: InferRequest
    began: float | None = None
    response: InferResponse | None = None

    async def run(self) -> bytes:
        """The answer, as the cache keeps it."""
        self.began = monotonic()
        self.response = await self.backend.infer(self.target, self.request)
        return await run_in_thread_if_large(size_of(self.response.outputs), _pack, self.response)


def answer_of(target: Target, response: InferResponse, cache: CacheStatus) -> Answer:
    """It is named by the target: the same artifact may have been another version when the answer was computed."""
    return Answer(InferResponse(target.model, target.version, response.outputs, response.parameters), cache)


def _pack(response: InferResponse) -> bytes:
    """A response as the cache keeps it: the length of its JSON, then its body in binary form.

    That is the body which the worker has sent, unless it was cut out of one for several requests.
    """
    body, length = response.encoded or encode_response(response, _BINARY)
    return struct.pack("<I", len(body) if length is None else length) + body


async def _read(value: bytes) -> InferResponse | None:
    """The response in a cached value. None where it holds none, for which the client is not to blame: ask a worker."""
    return _unpack(value) if len(value) <= LARGE else await run_in_thread_if_large(len(value), _unpack, value)


def _unpack(value: bytes) -> InferResponse | None:
    try:
        (length,) = struct.unpack_from("<I", value)
        return decode_response(memoryview(value)[4:], length)
    except (InvalidInput, struct.error):
        return None
