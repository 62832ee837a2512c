"""The load generator: what it sends, counts and says of itself."""

import asyncio
import json
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from loadtests.generator import LAGGED_MS, SATURATED, SEED, Run, load, prepare, summarise
from loadtests.scenarios.arrivals import Stretch, due_times
from loadtests.spec import Spec

ROOT = Path(__file__).parents[3]
Answer = Callable[[bytes], Awaitable[bytes]]
OK = b"HTTP/1.1 200 OK\r\nx-cache: hit\r\ncontent-length: 2\r\n\r\n{}"


def a_spec(url: str, **more: Any) -> Spec:
    return cast(Spec, {"url": url, "bodies": ["{}"], "connections": 2, **more})


def finished(spec: Spec, *, latencies: list[float], lags: Sequence[float] = (), seconds: float = 1.0) -> Run:
    """A run that saw these latencies and lags, in seconds."""
    run = Run(spec, [b""], [], seconds)
    run.latencies.extend(latencies)
    run.lags.extend(lags)
    run.statuses[200] = len(latencies)
    run.started, run.finished = 10.0, 10.0 + seconds
    return run


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server on a free port that answers every request with `answer(body)`: its URL and the bodies it got."""
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                bodies.append(await reader.readexactly(length))
                writer.write(await answer(bodies[-1]))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/infer", bodies
        await asyncio.sleep(0.01)  # the connections that were closed are noticed


async def fine(body: bytes) -> bytes:
    return OK


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com:80/x",
        "http://10.0.0.1:8000/x",
        "http://localhost:8000/x",
        "http://127.0.0.1@example.com:80/x",
        "https://127.0.0.1:8000/x",
        "http://127.0.0.1/x",
    ],
)
def test_load_goes_to_this_machine_only(url: str) -> None:
    with pytest.raises(ValueError, match=r"load is sent to http://127\.0\.0\.1:<port> only"):
        prepare(a_spec(url, seconds=1))


def test_the_command_refuses_another_host_without_sending() -> None:
    spec = json.dumps(a_spec("http://example.com:80/x", seconds=1))
    command = [sys.executable, "-m", "loadtests.generator", "--json", "-"]
    done = subprocess.run(command, input=spec, text=True, capture_output=True, cwd=ROOT)
    assert done.returncode == 1
    assert "127.0.0.1" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "wrong", [{}, {"seconds": 1, "requests": 1}, {"requests": 5, "rate": 10.0}, {"seconds": 1, "bodies": []}]
)
def test_a_spec_without_one_clear_end_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"seconds|bodies"):
        prepare(a_spec("http://127.0.0.1:9/x", **wrong))


def test_percentiles_are_latencies_that_were_seen() -> None:
    spec = a_spec("http://127.0.0.1:9/x", seconds=1)
    report = summarise(finished(spec, latencies=[n / 1000 for n in range(100, 0, -1)], seconds=2.0))
    assert [report[key] for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")] == pytest.approx([50, 95, 99, 100])
    assert report["rate"] == pytest.approx(50)
    assert report["invalid"] is None


def test_a_saturated_generator_makes_the_run_invalid() -> None:
    run = finished(a_spec("http://127.0.0.1:9/x", seconds=1), latencies=[0.001])
    run.cpu_s = SATURATED + 0.05
    assert "saturated" in str(summarise(run)["invalid"])


def test_a_lagging_open_loop_makes_the_run_invalid() -> None:
    spec = a_spec("http://127.0.0.1:9/x", seconds=1, rate=100.0)
    late = (LAGGED_MS + 1) / 1000
    report = summarise(finished(spec, latencies=[0.001] * 100, lags=[0.0] * 95 + [late] * 5))
    assert "lagged" in str(report["invalid"])
    assert report["lag_p99_ms"] == pytest.approx(LAGGED_MS + 1)
    assert report["lag_mean_ms"] == pytest.approx((LAGGED_MS + 1) / 20)
    assert summarise(finished(spec, latencies=[0.001] * 100, lags=[0.0] * 100))["invalid"] is None


def test_a_run_without_answers_says_so_and_does_not_fail() -> None:
    report = summarise(finished(a_spec("http://127.0.0.1:9/x", seconds=1), latencies=[]))
    assert report["count"] == 0
    assert "no request was answered with 200" in str(report["invalid"])


async def test_every_body_is_sent_in_turn_and_every_answer_counted() -> None:
    async with server(fine) as (url, bodies):
        report = await load(a_spec(url, bodies=["1", "2", "3"], requests=9, count_header="x-cache"))
    assert sorted(bodies) == [b"1"] * 3 + [b"2"] * 3 + [b"3"] * 3
    assert report["statuses"] == {"200": 9}
    assert report["header_values"] == {"hit": 9}
    assert report["invalid"] is None or "saturated" in report["invalid"]


async def test_chunked_answers_are_read_to_their_end() -> None:
    async def chunked(body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

    async with server(chunked) as (url, _):
        report = await load(a_spec(url, requests=6))
    assert report["statuses"] == {"200": 6}


async def test_refusals_are_counted_and_make_the_run_invalid() -> None:
    async def refuse(body: bytes) -> bytes:
        return b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"

    async with server(refuse) as (url, _):
        report = await load(a_spec(url, requests=4))
    assert report["statuses"] == {"503": 4}
    assert report["first_failure"] == "503 busy"
    assert "4 requests failed" in str(report["invalid"])
    assert 0 < cast(float, report["refused_p50_ms"]) <= cast(float, report["refused_p99_ms"])


async def test_an_open_loop_counts_a_stall_against_every_request_that_it_delays() -> None:
    served = 0

    async def stall_once(body: bytes) -> bytes:
        nonlocal served
        served += 1
        if served == 1:
            await asyncio.sleep(0.2)
        return OK

    async with server(stall_once) as (url, _):
        report = await load(a_spec(url, connections=1, rate=100.0, seconds=0.4))
    # With one connection everything due during the stall waits for it: some 20 requests, not 1.
    assert report["count"] > 20
    assert report["max_ms"] >= 200
    assert report["p95_ms"] > 100


async def test_an_open_loop_can_come_as_independent_clients_do() -> None:
    async with server(fine) as (url, bodies):
        report = await load(a_spec(url, connections=8, rate=200.0, seconds=0.5, arrivals="poisson"))
    expected = sum(1 for _ in due_times([Stretch(0.5, 200.0, 200.0)], "poisson", random.Random(SEED)))
    assert expected != 100  # which it is when they are evenly spaced
    assert report["count"] == len(bodies) == expected
    assert report["began"] > 0


async def test_a_server_that_is_not_there_is_an_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            await load(a_spec(f"http://127.0.0.1:{unused.getsockname()[1]}/x", requests=1))
