"""Tracing as gateway and worker see it: a span for each step of a request that is recorded, and None for all others.

OpenTelemetry is behind it (`otel.py`) and imported only where the environment asks for it (`tracing_settings.py`).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Final, Protocol

from service.asgi import Headers, Scope
from wire.spans import NOTHING, Attributes, Kind, Span

# What spans of gateway and worker say in the same words.
MODEL: Final = "headrace.model"
VERSION: Final = "headrace.version"
OUTCOME: Final = "headrace.outcome"
STATUS_CODE: Final = "http.response.status_code"


class Tracer(Protocol):
    """Decides, once, whether a request is recorded."""

    def request(self, name: str, headers: Headers, arrived: float) -> Span | None:
        """The span of a request that came with `headers`; None where it is not recorded."""
        ...

    def unrecorded_headers(self) -> bytes:
        """Header lines that tell the next one that this request, whose client names no trace, is not recorded."""
        ...

    def close(self) -> None:
        """Send what is left, if that does not take long. Blocks."""
        ...


class Untraced:
    """No tracing: nothing is recorded, and nothing is said about it."""

    def request(self, name: str, headers: Headers, arrived: float) -> None:
        return None

    def unrecorded_headers(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


UNTRACED: Final = Untraced()


def end_request(
    span: Span, scope: Scope, route: str, status: int | None, outcome: str, attributes: Attributes = NOTHING
) -> None:
    """End the span of a request to `route` that was answered with `status`; None where nobody waited for an answer.

    What the client has done wrong is no failure of ours.
    """
    span.set(
        {
            "http.request.method": scope["method"],
            "http.route": route,
            "url.path": scope["path"],
            "url.scheme": scope["scheme"],
            OUTCOME: outcome,
            **attributes,
        }
    )
    if status is not None:
        span.set({STATUS_CODE: status})
        if status >= 500:
            span.fail(outcome)
    span.end(monotonic())


@contextmanager
def ending(span: Span) -> Iterator[Span]:
    """`span` ends with the block, and fails as the block does."""
    try:
        yield span
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    finally:
        span.end(monotonic())


def step(
    of: Span, name: str, attributes: Attributes = NOTHING, *, kind: Kind = "internal"
) -> AbstractContextManager[Span]:
    """A step that lasts as long as the block, and fails as the block does."""
    return ending(of.begin(name, monotonic(), attributes, kind=kind))
