"""Inference without ASGI: what is in memory is answered at once, what shares a worker's request when that is.

Only what is looked up elsewhere, or travels alone, has a task of its own. A request goes this way while nothing about
it is out of the ordinary. All else, errors too, is handed over to the endpoint's other way, which is an ASGI
application and can do everything; it goes on from what is known by then.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol

from gateway.api.question import Decode, Question
from gateway.api.repeated_answers import RepeatedAnswer, RepeatedAnswers
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.pipeline import Answer, CacheStatus, Gateway
from gateway.request_log import RequestLog
from gateway.request_record import GatewayRecord
from service.asgi import id_of, refuses_cache
from service.deadlines import Expiring
from service.exchange import Exchange
from service.offload import LARGE
from service.trace_context import propagate, recorded_trace
from wire import headers as names
from wire.errors import ClientGone, DeadlineExceeded
from wire.messages import InferRequest, InferResponse
from wire.tensors import size_of

# In a scope: what was found out of a request before it was handed over.
BEGUN: Final = "headrace.begun"


@dataclass(slots=True, eq=False)
class Begun:
    """When its head came, what its body says, and what came of it, as far as that is known."""

    started: float
    request_id: bytes
    question: Question | None = None
    outcome: Answer | Exception | None = None


class Endpoint(Protocol):
    """What a request takes of the endpoint that it came to."""

    protocol: str
    decode: Decode
    gateway: Gateway
    metrics: Metrics
    requests: RequestLog
    limits: Limits
    repeated: RepeatedAnswers


Leave = Callable[[], object]  # tells what a request waits for that it waits no longer


class DirectRequest:
    """One request, from its body to its answer. The coalescer gives it its response as it would a future."""

    __slots__ = ("_asked", "_endpoint", "_exchange", "_id", "_leave", "_question", "_slot", "_target")

    def __init__(self, endpoint: Endpoint, exchange: Exchange) -> None:
        self._endpoint = endpoint
        self._exchange = exchange
        self._id = id_of(exchange.headers)
        self._asked = exchange.url, exchange.body, exchange.headers.get(names.INFERENCE_HEADER_CONTENT_LENGTH)
        self._question: Question | None = None
        self._leave: Leave | None = None  # while it waits for its answer
        self._slot: set[Expiring] | None = None

    def begin(self) -> None:
        """Answer the request, or have it answered later, or hand it over."""
        try:
            found = self._find_answer()
        except Exception as error:
            return self._hand_over(error)
        if isinstance(found, RepeatedAnswer):
            self._send(found.model, found.version, "hit", found.lines, found.content)
        elif isinstance(found, Answer):
            self._respond(found)
        elif found is not None:
            self._wait(found)
        else:
            self._hand_over()

    def _find_answer(self) -> RepeatedAnswer | Answer | Leave | None:
        """The answer, or how to wait no longer for it, or None. Raises ServingError."""
        endpoint, exchange = self._endpoint, self._exchange
        headers, limits = exchange.headers, endpoint.limits
        deadline = limits.deadline(headers, exchange.started)
        limits.admission.check()
        if len(exchange.body) > limits.body_bytes or not limits.budget.has_room(len(exchange.body)):
            return None
        cacheable, began = not refuses_cache(headers), monotonic()
        if cacheable and (repeated := endpoint.repeated.find(self._asked)) is not None:
            endpoint.gateway.count_hit(repeated.model, repeated.version, began)
            return repeated
        question = self._question = endpoint.decode(exchange.params, headers, exchange.body)
        if question.wait:
            return None
        request = question.request
        if request.deadline is None or request.deadline > deadline:
            request.deadline = deadline
        if names.TRACEPARENT in headers:
            request.trace_headers = propagate(headers)
        target = self._target = endpoint.gateway.resolve(request)
        request.version = target.version  # where weights decide they do so once, also if it is handed over
        gateway = endpoint.gateway
        if not target.cache_ttl_s or not cacheable or question.no_cache:
            return gateway.coalescer.join(target, request, self).leave
        began, key = monotonic(), gateway.key(target, request)
        if (value := gateway.cache.peek(key)) is not None:
            return gateway.read_at_once(key, value, target, request, began)
        return asyncio.create_task(self._fetch(key, request, began)).cancel

    async def _fetch(self, key: bytes, request: InferRequest, began: float) -> None:
        try:
            answer = await self._endpoint.gateway.fetch_or_compute(key, self._target, request, began)
        except Exception as error:
            if not self.done():
                self.set_exception(error)
        else:
            if not self.done():
                self._end()
                self._respond(answer)

    def _wait(self, leave: Leave) -> None:
        endpoint, question = self._endpoint, self._question
        assert question is not None
        assert question.request.deadline is not None
        endpoint.limits.admission.in_flight += 1
        endpoint.limits.budget.reserved += len(self._exchange.body)
        self._leave = leave
        self._slot = self._exchange.deadlines.add(question.request.deadline, self)
        self._exchange.watch(self.lose)

    # What the coalescer asks of a future

    def done(self) -> bool:
        return self._leave is None

    def set_result(self, response: InferResponse) -> None:
        self._end()
        response.model, response.version = self._target.model, self._target.version  # see `answer_of`
        self._respond(Answer(response, "bypass"))

    def set_exception(self, error: Exception) -> None:
        self._end()
        self._hand_over(error)

    # How else it may end

    def expire(self) -> None:
        """Its deadline has passed."""
        if (leave := self._leave) is not None:
            self.set_exception(DeadlineExceeded())
            leave()

    def lose(self) -> None:
        """Its client has hung up."""
        if (leave := self._leave) is None:
            return
        self._end()
        leave()
        self._keep(self._target.model, "", ClientGone.__name__)

    def _end(self) -> None:
        self._leave = None  # or they would keep each other alive until garbage is collected
        limits = self._endpoint.limits
        limits.admission.in_flight -= 1
        limits.budget.take_back(len(self._exchange.body))
        if self._slot is not None:
            self._slot.discard(self)

    def _respond(self, answer: Answer) -> None:
        response = answer.response
        if size_of(response.outputs) > LARGE:
            return self._hand_over(answer)
        assert self._question is not None
        try:
            content, described = self._question.render(answer)
        except Exception as error:
            return self._hand_over(error)
        lines = b"".join([b"%b: %b\r\n" % pair for pair in described])
        self._send(response.model, response.version, answer.cache, lines, content)
        self._endpoint.repeated.keep(self._asked, self._question, self._target, answer, (lines, content))

    def _send(self, model: str, version: str, cache: CacheStatus, lines: bytes, content: bytes) -> None:
        told = names.CACHE_STATUS, cache.encode(), names.REQUEST_ID, self._id
        self._exchange.respond(200, lines + b"%b: %b\r\n%b: %b\r\n" % told, content)
        self._keep(model, version, cache)

    def _hand_over(self, outcome: Answer | Exception | None = None) -> None:
        begun = Begun(self._exchange.started, self._id, self._question, outcome)
        self._exchange.serve_by_application(**{BEGUN: begun})

    def _keep(self, model: str, version: str, outcome: str) -> None:
        endpoint, headers = self._endpoint, self._exchange.headers
        seconds = monotonic() - self._exchange.started
        endpoint.metrics.record_answer(endpoint.protocol, model, version, outcome, seconds, recorded_trace(headers))
        if endpoint.requests.wants(outcome):
            record = GatewayRecord({}, headers, self._exchange.started, None, self._id, model, version, outcome)
            record.body, record.body_bytes = self._exchange.body, len(self._exchange.body)
            endpoint.requests.write(record, endpoint.protocol, seconds)
