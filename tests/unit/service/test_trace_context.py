import pytest

from service.trace_context import caller_of, propagate, recorded_trace

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
RECORDED = b"00-" + TRACE + b"-00f067aa0ba902b7-01"
UNRECORDED = b"00-" + TRACE + b"-00f067aa0ba902b7-00"
SENSELESS = [
    b"00-" + TRACE[:-1] + b"-00f067aa0ba902b7-01",
    b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
    b"00-" + TRACE + b"-0000000000000000-01",
    b"ff-" + TRACE + b"-00f067aa0ba902b7-01",
    RECORDED + b"x",
    RECORDED + b"-more",
    RECORDED.upper(),
    b"nonsense",
    b"",
]


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (RECORDED, TRACE.decode()),
        (b"00-" + TRACE + b"-00f067aa0ba902b7-03", TRACE.decode()),
        (b"01" + RECORDED[2:] + b"-what-a-later-version-says", TRACE.decode()),
        (UNRECORDED, None),
    ],
)
def test_a_trace_counts_where_its_caller_records_it(header: bytes, trace: str | None) -> None:
    assert recorded_trace({b"traceparent": header}) == trace
    assert caller_of({b"traceparent": header}) == (TRACE.decode(), trace is not None)


@pytest.mark.parametrize("header", SENSELESS)
def test_a_header_that_makes_no_sense_is_none(header: bytes) -> None:
    headers = {b"traceparent": header, b"tracestate": b"a=b"}
    assert recorded_trace(headers) is None
    assert caller_of(headers) is None
    assert propagate(headers) == b""


def test_without_a_header_there_is_no_trace() -> None:
    assert recorded_trace({}) is None
    assert caller_of({}) is None
    assert propagate({b"tracestate": b"a=b"}) == b""


@pytest.mark.parametrize("header", [RECORDED, UNRECORDED])
def test_what_the_caller_said_is_handed_on_unchanged(header: bytes) -> None:
    assert propagate({b"traceparent": header}) == b"traceparent: " + header + b"\r\n"
    state = {b"traceparent": header, b"tracestate": b"a=b,c=d"}
    assert propagate(state) == b"traceparent: " + header + b"\r\ntracestate: a=b,c=d\r\n"


def test_a_state_longer_than_the_standard_asks_for_stays_here() -> None:
    headers = {b"traceparent": RECORDED, b"tracestate": b"a=" + b"b" * 511}
    assert propagate(headers) == b"traceparent: " + RECORDED + b"\r\n"
