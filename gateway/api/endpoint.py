"""The way in and out that all inference protocols share: an ASGI object, as no framework stands on the hot path."""

import asyncio
from functools import partial
from time import monotonic
from typing import Final

from gateway.api import compression
from gateway.api.direct import BEGUN, Begun, DirectRequest
from gateway.api.errors import refuse
from gateway.api.question import Decode, Question
from gateway.api.repeated_answers import RepeatedAnswers
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.pipeline import Answer, Gateway
from gateway.request_log import RequestLog
from gateway.request_record import GatewayRecord
from service.answers import send_answer
from service.asgi import Headers, Receive, Scope, Send, headers_of, id_of, refuses_cache
from service.bodies import Body, read_body
from service.budget import Share
from service.cancel_scope import CancelScope
from service.exchange import Exchange
from service.offload import LARGE, run_in_thread_if_large
from service.trace_context import propagate
from service.tracing import UNTRACED, Tracer
from wire import headers as names
from wire.errors import ModelNotReady
from wire.tensors import size_of

PROTOCOL: Final = "headrace.protocol"
REQUEST_ID: Final = "headrace.request_id"

_WAIT_S: Final = 0.1  # between two looks at whether a model that is waited for is loaded


class InferenceEndpoint:
    """Serves one protocol's inference requests, which come to `route`."""

    def __init__(
        self,
        protocol: str,
        decode: Decode,
        gateway: Gateway,
        *,
        metrics: Metrics,
        requests: RequestLog,
        limits: Limits,
        repeated: RepeatedAnswers,
        tracer: Tracer = UNTRACED,
        route: str = "",
    ) -> None:
        self.protocol = protocol
        self.decode = decode
        self.gateway = gateway
        self.metrics = metrics
        self.requests = requests
        self.limits = limits
        self.repeated = repeated
        self._tracer = tracer
        self._route = route
        self._span_name = f"POST {route}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        begun: Begun = scope.get(BEGUN) or Begun(monotonic(), id_of(headers))
        span = self._tracer.request(self._span_name, headers, begun.started)
        record = GatewayRecord(scope, headers, begun.started, span, begun.request_id)
        try:
            await self._serve(record, begun, receive, send)
        except Exception as error:
            await record.fail(error, send, partial(refuse, extra=[(names.REQUEST_ID, record.request_id)]))
        self._keep(record)

    def begin(self, exchange: Exchange) -> None:
        """Serve a small request without a task, where nothing about it is out of the ordinary."""
        if self._tracer is not UNTRACED or compression.choose_coding(exchange.headers) is not None:
            exchange.serve_by_application()
        else:
            DirectRequest(self, exchange).begin()

    async def _serve(self, record: GatewayRecord, begun: Begun, receive: Receive, send: Send) -> None:
        scope, headers, limits = record.scope, record.headers, self.limits
        deadline = limits.deadline(headers, record.started)
        limits.admission.check()  # what will be refused needs not be read
        with CancelScope(scope, deadline) as cancel_scope, limits.budget.share() as share:
            body = await read_body(receive, headers, limits.body_bytes, share.reserve)
            record.body_bytes = len(body)
            if isinstance(begun.outcome, Exception):
                record.body = body
                self._name(record, begun.question)
                raise begun.outcome
            # Only now a place is taken: who sends slowly would keep others out.
            with limits.admission:
                if record.body_bytes <= LARGE:
                    record.body = body
                    question = begun.question or self.decode(scope["path_params"], headers, body)
                else:
                    question = await self._large_question(scope, headers, body, share)
                    del body
                self._admit(record, question, deadline, cancel_scope)
                answer = begun.outcome or await self._answer(question, refuses_cache(headers))
                record.model, record.version = answer.response.model, answer.response.version
                content, described = await self._render(question, answer, headers, share)
                cache_status = answer.cache
                del question, answer  # the client may take its time
                record.answering = True
                described = [
                    *described,
                    (names.CACHE_STATUS, cache_status.encode()),
                    (names.REQUEST_ID, record.request_id),
                ]
                await send_answer(send, content, described)
                record.outcome = cache_status

    def _admit(self, record: GatewayRecord, question: Question, deadline: float, cancel_scope: CancelScope) -> None:
        """What is known once the request is read: whose it is, until when, and on behalf of which trace."""
        request = question.request
        record.admitted = True
        if request.deadline is None or request.deadline >= deadline:
            request.deadline = deadline
        else:
            cancel_scope.until(request.deadline)  # its body says so
        if record.span is not None:
            request.span = record.span
            record.span.begin("admission", record.started).end(monotonic())
        elif names.TRACEPARENT in record.headers:
            request.trace_headers = propagate(record.headers)
        self._name(record, question)

    def _name(self, record: GatewayRecord, question: Question | None) -> None:
        """Errors count for the model too; names that lead to none would fill the memory."""
        if question is not None and question.request.model in self.gateway.membership.table.models:
            record.model = question.request.model

    async def _render(
        self, question: Question, answer: Answer, headers: Headers, share: Share
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        if (size := size_of(answer.response.outputs)) <= LARGE:
            content, described = question.render(answer)
        else:
            share.reserve(2 * size)
            content, described = await run_in_thread_if_large(size, question.render, answer)
        if (coding := compression.choose_coding(headers)) is not None:
            content = await compression.compress(content, coding)
            described = [*described, (names.CONTENT_ENCODING, coding)]
        if len(content) > LARGE:
            share.reserve(len(content))
        return content, described

    def _keep(self, record: GatewayRecord) -> None:
        """Count the request, write its line, end its span."""
        seconds = monotonic() - record.started
        self.metrics.record_answer(
            self.protocol, record.model, record.version, record.outcome, seconds, record.trace_id
        )
        if self.requests.wants(record.outcome):
            self.requests.write(record, self.protocol, seconds)
        if record.span is not None:
            if not record.admitted:
                admission = record.span.begin("admission", record.started)
                admission.fail(record.outcome)
                admission.end(record.started + seconds)
            about = {PROTOCOL: self.protocol, REQUEST_ID: record.request_id.decode()}
            record.end_span(self._route, about)

    async def _large_question(self, scope: Scope, headers: Headers, body: Body, share: Share) -> Question:
        size = len(body)
        share.reserve(2 * size)
        question = await run_in_thread_if_large(size, self.decode, scope["path_params"], headers, body)
        share.reserve(size_of(question.request.inputs))
        return question

    async def _answer(self, question: Question, no_cache: bool) -> Answer:
        request, no_cache = question.request, no_cache or question.no_cache
        while True:
            try:
                return await self.gateway.infer(request, no_cache=no_cache)
            except ModelNotReady as error:
                left = 0.0 if request.deadline is None else request.deadline - monotonic()
                if not question.wait or error.retry_after is None or left <= _WAIT_S:
                    raise  # better this reason than that the deadline passed
            with self.limits.admission.yield_place():
                await asyncio.sleep(_WAIT_S)
