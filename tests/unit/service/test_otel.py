"""Which requests are recorded, and how their steps hang together."""

from pathlib import Path
from time import monotonic, time_ns

import pytest
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from service.otel import Sampling
from service.trace_context import caller_of
from service.tracing import ending
from service.tracing_settings import TracingSettings, open_tracer
from tests.integration.collector import collecting
from tests.spans import PARENT, RECORDED, TRACE, UNRECORDED, Recording, context, ids, linked, said, trace_of
from wire.spans import Span

SECOND = 1_000_000_000
CALLED = {b"traceparent": RECORDED.encode()}


def begun(recording: Recording, headers: dict[bytes, bytes] | None = None) -> Span:
    span = recording.tracer.request("POST /x", headers or {}, monotonic())
    assert span is not None
    return span


def test_a_request_is_part_of_the_trace_that_its_caller_records() -> None:
    recording = Recording()
    begun(recording, CALLED | {b"tracestate": b"vendor=1"}).end(monotonic())
    span = recording.one("POST /x")
    assert trace_of(span) == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.kind is SpanKind.SERVER
    assert context(span).trace_state.to_header() == "vendor=1"


@pytest.mark.parametrize("header", [b"nonsense", RECORDED.encode() + b"-more", b"00-" + b"0" * 32 + b"-" + b"1" * 16])
def test_a_header_that_names_no_trace_begins_a_new_one(header: bytes) -> None:
    recording = Recording()
    begun(recording, {b"traceparent": header}).end(monotonic())
    assert recording.one("POST /x").parent is None


@pytest.mark.parametrize(
    ("share", "follows_caller", "unrecorded", "recorded"),
    [(1.0, True, False, True), (0.0, True, False, True), (1.0, False, True, True), (0.0, False, False, False)],
)
def test_the_caller_decides_where_it_is_followed(
    share: float, follows_caller: bool, unrecorded: bool, recorded: bool
) -> None:
    tracer = Recording(share, follows_caller=follows_caller).tracer
    assert (tracer.request("x", {b"traceparent": UNRECORDED.encode()}, 0.0) is not None) == unrecorded
    assert (tracer.request("x", CALLED, 0.0) is not None) == recorded


def test_a_share_of_the_traces_that_begin_here_is_recorded_as_the_sdk_would_choose_them() -> None:
    recording = Recording(0.5)
    spans = [span for _ in range(400) if (span := recording.tracer.request("x", {}, monotonic())) is not None]
    assert 100 < len(spans) < 300
    sdks = TraceIdRatioBased(0.5)
    assert all(sdks.should_sample(None, int(span.trace_id, 16), "x").decision.is_sampled() for span in spans)
    assert len({span.trace_id for span in spans}) == len(spans)


@pytest.mark.parametrize("last", ["0" * 16, "4" + "0" * 15, "7" + "f" * 15, "8" + "0" * 15, "f" * 16])
def test_a_share_of_what_others_began_is_recorded_as_the_sdk_would_choose_it(last: str) -> None:
    trace = TRACE[:16] + last
    taken = Recording(0.5, follows_caller=False).tracer.request(
        "x", {b"traceparent": f"00-{trace}-{PARENT}-00".encode()}, 0.0
    )
    sdks = TraceIdRatioBased(0.5).should_sample(None, int(trace, 16), "x")
    assert (taken is not None) == sdks.decision.is_sampled()


def test_what_is_not_recorded_tells_so_under_an_id_of_its_own() -> None:
    tracer = Recording().tracer
    lines = [tracer.unrecorded_headers() for _ in range(2)]
    assert lines[0] != lines[1]
    for line in lines:
        name, value = line.removesuffix(b"\r\n").split(b": ")
        caller = caller_of({name: value})
        assert caller is not None
        assert not caller.records


def test_the_next_process_continues_the_step_whose_headers_it_gets() -> None:
    recording = Recording()
    server = begun(recording, CALLED | {b"tracestate": b"vendor=1"})
    call = server.begin("POST", monotonic(), kind="client")
    headers = dict(line.split(b": ") for line in call.headers.split(b"\r\n")[:-1])
    assert headers[b"tracestate"] == b"vendor=1"
    begun(recording, headers).end(monotonic())
    call.end(monotonic())
    assert recording.of(recording.one("POST")) == ["POST /x"]


def test_times_are_those_of_the_clock_on_the_wall() -> None:
    recording, before = Recording(), time_ns()
    began = monotonic()
    span = begun(recording)
    span.begin("step", began - 2.5).end(began - 2.0)
    span.end(began + 1.0)
    step, server = recording.one("step"), recording.one("POST /x")
    assert step.start_time is not None
    assert step.end_time is not None
    assert server.end_time is not None
    assert abs(step.end_time - step.start_time - SECOND // 2) < 1000
    assert abs(server.end_time - step.end_time - 3 * SECOND) < 1000
    assert before - 3 * SECOND < step.start_time < time_ns()


def test_a_step_in_common_is_linked_to_all_and_belongs_to_none() -> None:
    recording = Recording()
    requests = [begun(recording) for _ in range(3)]
    requests[0].begin_shared("batch", monotonic(), requests, {"rows": 3}).end(monotonic())
    for request in requests:
        request.end(monotonic())
    batch, servers = recording.one("batch"), recording.all("POST /x")
    assert batch.parent is None
    assert linked(batch) == ids(servers)
    assert trace_of(batch) not in {trace_of(server) for server in servers}
    assert said(batch) == {"rows": 3}


def test_a_step_in_common_of_one_is_a_step_of_that_one() -> None:
    recording = Recording()
    request = begun(recording)
    request.begin_shared("batch", monotonic(), [request]).end(monotonic())
    request.end(monotonic())
    server = recording.one("POST /x")
    assert recording.of(server) == ["batch"]
    assert linked(recording.one("batch")) == ids([server])


def test_a_step_in_common_is_recorded_however_rarely_traces_begin_here() -> None:
    recording = Recording(0.0)
    requests = [begun(recording, CALLED), begun(recording, CALLED)]
    requests[0].begin_shared("batch", monotonic(), requests).end(monotonic())
    assert trace_of(recording.one("batch")) != TRACE


def test_a_step_fails_as_its_block_does() -> None:
    recording = Recording()
    request = begun(recording)
    with pytest.raises(KeyError), ending(request):
        raise KeyError
    span = recording.one("POST /x")
    assert span.status.status_code is StatusCode.ERROR
    assert said(span) == {"error.type": "KeyError"}


@pytest.mark.parametrize(
    ("name", "sampling"),
    [
        ("always_on", Sampling(1.0, False)),
        ("always_off", Sampling(0.0, False)),
        ("traceidratio", Sampling(0.25, False)),
        ("parentbased_always_on", Sampling(1.0, True)),
        ("parentbased_traceidratio", Sampling(0.25, True)),
        ("PARENTBASED_ALWAYS_OFF", Sampling(0.0, True)),
    ],
)
def test_the_sampling_is_the_one_that_the_environment_names(
    name: str, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    settings = TracingSettings()
    assert Sampling.from_name(settings.traces_sampler, settings.traces_sampler_arg) == sampling


@pytest.mark.parametrize(
    "files",
    [
        {"otel_exporter_otlp_headers": "api-key=very%20secret\n"},
        # The one for spans alone comes first.
        {
            "otel_exporter_otlp_headers": "api-key=another\n",
            "otel_exporter_otlp_traces_headers": "api-key=very%20secret\n",
        },
    ],
)
def test_the_receiver_is_told_the_key_that_a_file_holds(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        tracer = open_tracer(TracingSettings(_secrets_dir=tmp_path), "headrace-gateway")
        span = tracer.request("POST /x", {}, monotonic())
        assert span is not None
        span.end(monotonic())
        tracer.close()
        assert [sent.name for sent in collector.spans] == ["POST /x"]
        assert collector.keys == {"very secret"}
