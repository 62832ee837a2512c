"""A tracer that keeps its spans here, and what tests ask of them."""

from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from service.otel import OtelTracer, Sampling

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
RECORDED = f"00-{TRACE}-{PARENT}-01"
UNRECORDED = f"00-{TRACE}-{PARENT}-00"


class Recording:
    """`tracer` is for the application; `spans` are those that have ended."""

    def __init__(self, share: float = 1.0, *, follows_caller: bool = True) -> None:
        self._exporter = InMemorySpanExporter()
        sampling = Sampling(share, follows_caller)
        self.tracer = OtelTracer(SimpleSpanProcessor(self._exporter), sampling, Resource.get_empty())

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def all(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.all(name)
        return span

    def of(self, parent: ReadableSpan) -> list[str]:
        """The names of its children, in the order they began."""
        own = [s for s in self.spans if s.parent is not None and s.parent.span_id == context(parent).span_id]
        return [span.name for span in sorted(own, key=lambda span: span.start_time or 0)]


def context(span: ReadableSpan) -> SpanContext:
    """Its ids."""
    found = span.get_span_context()
    assert found is not None
    return found


def trace_of(span: ReadableSpan) -> str:
    """32 hexadecimal digits."""
    return f"{context(span).trace_id:032x}"


def linked(span: ReadableSpan) -> set[int]:
    """The ids of the spans that it is linked to."""
    return {link.context.span_id for link in span.links}


def ids(spans: Sequence[ReadableSpan]) -> set[int]:
    return {context(span).span_id for span in spans}


def said(span: ReadableSpan) -> dict[str, object]:
    """Its attributes."""
    return dict(span.attributes or {})
