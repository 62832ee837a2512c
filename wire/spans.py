"""A span as all packages know it; OpenTelemetry implements it (`service/otel.py`)."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

Attributes = Mapping[str, str | int | float | bool]
Kind = Literal["server", "client", "internal"]

NOTHING: Final[Attributes] = {}


class Span(Protocol):
    """A step of a request that is recorded. Times are monotonic seconds."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        ...

    @property
    def headers(self) -> bytes:
        """Header lines that make the request they are sent with a part of this span."""
        ...

    def begin(
        self, name: str, began: float, attributes: Attributes = ..., *, kind: Kind = ..., links: Sequence["Span"] = ...
    ) -> "Span":
        """Begin a step within this one; the caller ends it."""
        ...

    def begin_shared(self, name: str, began: float, spans: Sequence["Span"], attributes: Attributes = ...) -> "Span":
        """A step that `spans`, this one among them, have in common; linked to each.

        It is a step of this one where that is the only one, and otherwise a trace of its own.
        """
        ...

    def set(self, attributes: Attributes) -> None: ...

    def fail(self, error: str) -> None:
        """It went wrong, by an error of that class."""
        ...

    def end(self, ended: float) -> None: ...
