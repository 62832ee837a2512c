import asyncio
import logging
from collections import Counter

import orjson
import pytest

from gateway.request_log import RequestLog, excerpt
from gateway.request_record import GatewayRecord
from gateway.settings import GatewaySettings
from service.logs import FIELDS, JsonFormatter, TextFormatter
from wire import headers as names

TRACEPARENT = f"00-{32 * 'a'}-{16 * 'b'}-01".encode()
BODY = orjson.dumps({"inputs": "a text", "parameters": {"Token": "very secret", "rest": [{"password": 1}, 2]}})


def written(caplog: pytest.LogCaptureFixture, settings: GatewaySettings, outcome: str = "miss") -> logging.LogRecord:
    requests = RequestLog(settings)
    record = GatewayRecord({}, {names.TRACEPARENT: TRACEPARENT}, 0.0, None, b"id-1", "m", "3", outcome)
    record.body, record.body_bytes = BODY, len(BODY)
    with caplog.at_level(logging.INFO):
        requests.write(record, "oip", 0.0123456)
    (line,) = caplog.records
    return line


@pytest.mark.parametrize("outcome", ["hit", "miss", "bypass"])
def test_of_what_went_well_a_sample_is_logged(outcome: str) -> None:
    def share(sample: float) -> float:
        requests = RequestLog(GatewaySettings(log_sample=sample))
        return Counter(requests.wants(outcome) for _ in range(2000))[True] / 2000

    assert share(0) == 0
    assert share(1) == 1
    assert 0.4 < share(0.5) < 0.6


def test_what_failed_is_logged() -> None:
    requests = RequestLog(GatewaySettings(log_sample=0))
    assert all(requests.wants(outcome) for outcome in ("InvalidInput", "Overloaded", "InternalError", "ClientGone"))


async def test_of_what_fails_without_end_some_lines_are_written_and_the_others_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests = RequestLog(GatewaySettings(log_failures_per_s=5))
    wanted = Counter(requests.wants("InvalidInput") for _ in range(1000))
    assert wanted[True] == pytest.approx(5, abs=2)
    assert requests.wants("InternalError")  # a flood of one kind hides no other
    while not caplog.records:
        await asyncio.sleep(0.01)
    (line,) = caplog.records
    assert getattr(line, FIELDS) == {"outcome": "InvalidInput", "left_out": wanted[False]}


def test_a_line_is_one_json_object(caplog: pytest.LogCaptureFixture) -> None:
    line = JsonFormatter().format(written(caplog, GatewaySettings()))
    assert "\n" not in line
    told = orjson.loads(line)
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "info",
        "logger": "headrace.requests",
        "message": "request",
        "request_id": "id-1",
        "trace_id": 32 * "a",
        "protocol": "oip",
        "model": "m",
        "version": "3",
        "outcome": "miss",
        "ms": 12.346,
        "body_bytes": len(BODY),
    }


def test_a_person_reads_the_same(caplog: pytest.LogCaptureFixture) -> None:
    line = TextFormatter().format(written(caplog, GatewaySettings(), "Overloaded"))
    assert "WARNING headrace.requests: request request_id=id-1 trace_id=aaaa" in line
    assert "outcome=Overloaded ms=12.346" in line


def test_payloads_are_logged_where_that_is_allowed_and_never_their_secrets(caplog: pytest.LogCaptureFixture) -> None:
    record = written(caplog, GatewaySettings(log_payload_bytes=1000))
    payload = getattr(record, FIELDS)["payload"]
    assert orjson.loads(payload) == {
        "inputs": "a text",
        "parameters": {"Token": "[redacted]", "rest": [{"password": "[redacted]"}, 2]},
    }


def test_of_a_payload_no_more_is_logged_than_allowed() -> None:
    assert excerpt(BODY, 10, ()) == '{"inputs":'
    assert excerpt(b'["' + b"x" * 100_000 + b'"]', 10, ()) is None


@pytest.mark.parametrize("body", [b"", b"\x00\x01binary", b"[" * 500 + b"]" * 500])
def test_a_body_that_cannot_be_read_is_not_logged(body: bytes) -> None:
    assert excerpt(body, 10, ()) is None


def test_an_exception_is_part_of_its_line() -> None:
    try:
        raise ValueError("wrong")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed %d", (3,), (ValueError, error, None))
    told = orjson.loads(JsonFormatter().format(record))
    assert told["message"] == "failed 3"
    assert "ValueError: wrong" in told["exception"]
