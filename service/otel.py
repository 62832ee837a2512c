"""Spans by OpenTelemetry's SDK, sent over OTLP/HTTP. Imported only where tracing is on."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import getrandbits
from threading import Thread
from time import monotonic_ns, time_ns
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers

from service.asgi import Headers
from service.logs import Rarely
from service.trace_context import caller_of
from wire.spans import NOTHING, Attributes, Kind, Span

CLOSE_S: Final = 2.0  # for what has not been sent when the process ends
_WARN_S: Final = 60.0
# Loggers with a line for each failed export, each dropped span and each malformed header.
_TALKATIVE: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.trace.propagation.tracecontext",
    "opentelemetry.trace.span",
)
_KINDS: Final = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_NO_PARENT: Final = Context()  # and not whatever the task's context holds
_SECOND: Final = 1e9


class OtelSpan:
    """A Span of the SDK. `epoch_ns` plus monotonic nanoseconds is the time of day, for all spans of a request."""

    __slots__ = ("_context", "_epoch_ns", "_span", "_tracer")

    def __init__(self, tracer: SdkTracer, span: SdkSpan, epoch_ns: int) -> None:
        self._tracer = tracer
        self._span = span
        self._context = set_span_in_context(span, _NO_PARENT)
        self._epoch_ns = epoch_ns

    @property
    def link(self) -> Link:
        return Link(self._span.get_span_context())

    @property
    def trace_id(self) -> str:
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def headers(self) -> bytes:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, self._context)
        return "".join([f"{name}: {value}\r\n" for name, value in carrier.items()]).encode()

    def begin(
        self,
        name: str,
        began: float,
        attributes: Attributes = NOTHING,
        *,
        kind: Kind = "internal",
        links: Sequence[Span] = (),
    ) -> "OtelSpan":
        return self._start(self._context, name, began, attributes, kind, links)

    def begin_shared(
        self, name: str, began: float, spans: Sequence[Span], attributes: Attributes = NOTHING
    ) -> "OtelSpan":
        parent = self._context if len(spans) == 1 else _NO_PARENT
        return self._start(parent, name, began, attributes, "internal", spans)

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, error: str) -> None:
        self._span.set_attribute("error.type", error)
        self._span.set_status(StatusCode.ERROR)

    def end(self, ended: float) -> None:
        self._span.end(self._ns(ended))

    def _start(
        self,
        parent: Context,
        name: str,
        began: float,
        attributes: Attributes,
        kind: Kind,
        linked: Sequence[Span],
    ) -> "OtelSpan":
        links = [span.link for span in linked if isinstance(span, OtelSpan)]
        span = self._tracer.start_span(name, parent, _KINDS[kind], attributes, links, start_time=self._ns(began))
        return OtelSpan(self._tracer, span, self._epoch_ns)

    def _ns(self, at: float) -> int:
        return int(at * _SECOND) + self._epoch_ns


@dataclass(frozen=True)
class Sampling:
    """Which requests are recorded: where `follows_caller`, those that the caller records; of all others, `share`."""

    share: float = 1.0
    follows_caller: bool = True

    @classmethod
    def from_name(cls, name: str, share_of_ids: float) -> "Sampling":
        """The sampling that `OTEL_TRACES_SAMPLER` and its argument describe."""
        share = {"always_on": 1.0, "always_off": 0.0, "traceidratio": share_of_ids}
        return cls(share[name.removeprefix("parentbased_")], name.startswith("parentbased_"))


class OtelTracer:
    """Records the requests that `sampling` chooses, with all their steps, and hands the spans to `processor`."""

    def __init__(self, processor: SpanProcessor, sampling: Sampling, resource: Resource) -> None:
        self._follows_caller = sampling.follows_caller
        # Decided here and not by the SDK, as this is what all the others pay for the few that are recorded; by the same
        # bits of the id, so that everybody who decides by the same share takes the same traces.
        self._bound = TraceIdRatioBased.get_bound_for_rate(sampling.share)
        self._ids = _Ids()
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids)
        self._provider.add_span_processor(processor)
        tracer = self._provider.get_tracer("headrace")
        assert isinstance(tracer, SdkTracer)  # it is another where the SDK is disabled, which the settings know
        self._tracer = tracer

    def request(self, name: str, headers: Headers, arrived: float) -> OtelSpan | None:
        caller = caller_of(headers)
        if caller is None:
            trace_id = getrandbits(128)
            taken = self._takes(trace_id)
        else:
            taken = caller.records if self._follows_caller else self._takes(int(caller.trace_id, 16))
        if not taken:
            return None
        if caller is None:
            parent, self._ids.next = _NO_PARENT, trace_id
        else:
            parent = _PROPAGATOR.extract(headers, _NO_PARENT, _HEADERS)
        epoch_ns = time_ns() - monotonic_ns()
        began = int(arrived * _SECOND) + epoch_ns
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, start_time=began)
        return OtelSpan(self._tracer, span, epoch_ns)

    def _takes(self, trace_id: int) -> bool:
        return trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound

    def unrecorded_headers(self) -> bytes:
        # New ids each time, as whoever gets them may still decide by them.
        return b"traceparent: 00-%032x-%016x-00\r\n" % (getrandbits(128) or 1, getrandbits(64) or 1)

    def close(self) -> None:
        # In a thread that nobody waits for: where the collector hangs, so does it.
        closing = Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        closing.start()
        closing.join(CLOSE_S)


def open_exporting_tracer(service: str, sampling: Sampling, headers: str | None) -> OtelTracer:
    """A tracer whose spans go to the receiver that the environment names, which the exporter reads by itself.

    All but the headers (`name=value,name=value`), which may come from a file.
    """
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(Rarely(_WARN_S))
    resource = Resource.create({SERVICE_NAME: service, **OTELResourceDetector().detect().attributes})
    told = None if headers is None else parse_env_headers(headers, liberal=True)
    return OtelTracer(BatchSpanProcessor(OTLPSpanExporter(headers=told)), sampling, resource)


class _Ids(RandomIdGenerator):
    """Gives the trace the id by which sampling has chosen it."""

    next: int | None = None

    def generate_trace_id(self) -> int:
        chosen, self.next = self.next, None
        return super().generate_trace_id() if chosen is None else chosen


class _Headers(Getter[Mapping[bytes, bytes]]):
    def get(self, carrier: Mapping[bytes, bytes], key: str) -> list[str] | None:
        value = carrier.get(key.encode())
        return None if value is None else [value.decode("latin-1")]

    def keys(self, carrier: Mapping[bytes, bytes]) -> list[str]:
        return [name.decode("latin-1") for name in carrier]


_HEADERS: Final = _Headers()
_PROPAGATOR: Final = TraceContextTextMapPropagator()
