"""What is noted of a request while it is served, and how it ends: the same at gateway and worker."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.asgi import Headers, Scope, Send
from service.cancel_scope import drop
from service.logs import FIELDS
from service.trace_context import recorded_trace
from service.tracing import MODEL, VERSION, end_request
from wire.errors import ClientGone, ServingError
from wire.spans import NOTHING, Attributes, Span
from wire.status import http_status

log = logging.getLogger(__name__)

SendError = Callable[[Scope, Send, ServingError], Awaitable[None]]


@dataclass(slots=True)
class RequestRecord:
    """Begun with a request's head, at `started` (monotonic seconds), and filled in as more is known of it.

    `outcome` is a word for an answer or the class of an error, and `status` is None where nobody waited for an answer.
    Once it is `answering` the answer's head may be with the client, which an error can then no longer be told.
    """

    scope: Scope
    headers: Headers
    started: float
    span: Span | None
    request_id: bytes = b""
    model: str = ""
    version: str = ""
    outcome: str = "success"
    status: int | None = 200
    answering: bool = False

    @property
    def trace_id(self) -> str | None:
        """The trace that it is part of, if that is recorded, here or by the caller: 32 hexadecimal digits."""
        return recorded_trace(self.headers) if self.span is None else self.span.trace_id

    async def fail(self, error: Exception, send: Send, send_error: SendError) -> None:
        """Note that it ended with `error`, and tell the client: by `send_error`, or else by closing the connection."""
        if isinstance(error, ClientGone):
            self.outcome, self.status = type(error).__name__, None
            return
        if isinstance(error, ServingError):
            self.outcome, self.status, told = type(error).__name__, http_status(error), error
        else:
            self.outcome, self.status, told = "InternalError", 500, ServingError("internal error")
            about = {
                "path": self.scope["path"],
                "request_id": self.request_id.decode("latin-1"),
                "trace_id": self.trace_id,
            }
            log.error("a request failed", exc_info=error, extra={FIELDS: about})
        if self.answering:
            await drop(self.scope)
        else:
            await send_error(self.scope, send, told)

    def end_span(self, route: str, attributes: Attributes = NOTHING) -> None:
        """End its span, if it has one: a request to `route`, with `attributes` beside what is noted here."""
        if self.span is not None:
            named = {MODEL: self.model, VERSION: self.version} if self.model else NOTHING
            end_request(self.span, self.scope, route, self.status, self.outcome, {**named, **attributes})
