"""What the gateway's trace of a request says: the whole application, workers over TCP, spans kept in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from service.trace_context import caller_of, recorded_trace
from tests.spans import RECORDED, TRACE, UNRECORDED, Recording, context, ids, linked, said, trace_of
from tests.unit.gateway.application import Application, application, described, worker
from tests.unit.gateway.conftest import Serve, Start
from wire.messages import InferRequest, InferResponse

INFER = "/v2/models/m/infer"
ROUTE = "POST /v2/models/{model}/infer"


class Worker:
    """Answers inputs as outputs, once `let_go`; keeps the heads that it was sent."""

    def __init__(self, let_go: asyncio.Event | None = None) -> None:
        self.heads: list[dict[bytes, bytes]] = []
        self._let_go = let_go

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2]))
            rest = asyncio.StreamReader()
            rest.feed_data(head + await reader.readexactly(int(self.heads[-1][b"content-length"])))
            rest.feed_eof()
            if self._let_go is not None:
                await self._let_go.wait()
            with suppress(asyncio.IncompleteReadError):  # that was the one request
                await worker(_same)(rest, writer)


def _same(request: InferRequest) -> InferResponse:
    return InferResponse("", "", tuple(request.inputs))


def refusing(status: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])[b"content-length"]
            await reader.readexactly(int(length))
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: 13\r\n\r\n" % status + b'{"error":"x"}')

    return serve


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


@asynccontextmanager
async def traced(
    folder: Path, recording: Recording, *urls: str, cache_ttl_s: int = 0, **fields: Any
) -> AsyncIterator[Application]:
    async with application(folder, recording.tracer) as app:
        await app.upload()
        (await app.publish(described("m", cache_ttl_s=cache_ttl_s, **fields), "stable")).raise_for_status()
        for number, url in enumerate(urls):
            await app.load(url, f"w{number}")
        yield app


def body(*values: float) -> dict[str, Any]:
    data = [value for value in values for _ in range(2)]
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(values), 2], "data": data}]}


async def ask(app: Application, *values: float, **headers: str) -> httpx.Response:
    return await app.client.post(INFER, json=body(*values), headers=headers)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def asked_alone(app: Application, asked: Worker) -> asyncio.Task[httpx.Response]:
    """A request that is under way to the worker: in the same turn of the loop it would take others along."""
    before = len(asked.heads)
    task = asyncio.create_task(ask(app, float(before)))
    await until(lambda: len(asked.heads) > before)
    return task


def status(span: ReadableSpan) -> StatusCode:
    return span.status.status_code


async def test_a_request_is_one_tree_down_to_the_worker_which_is_told_of_it(tmp_path: Path, start: Start) -> None:
    recording, asked = Recording(), Worker()
    async with traced(tmp_path, recording, await start(asked), cache_ttl_s=60) as app:
        answer = await ask(app, 1.0, traceparent=RECORDED, **{"x-request-id": "42"})
    assert answer.status_code == 200
    server, call = recording.one(ROUTE), recording.one("POST")
    assert {trace_of(span) for span in recording.spans} == {TRACE}
    assert recording.of(server) == ["admission", "cache", "coalesce", "balance"]
    assert recording.of(recording.one("balance")) == ["POST"]
    assert (server.kind, call.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert said(server) == {
        "http.request.method": "POST",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 200,
        "url.path": INFER,
        "url.scheme": "http",
        "headrace.protocol": "oip",
        "headrace.model": "m",
        "headrace.version": "1",
        "headrace.outcome": "miss",
        "headrace.request_id": "42",
    }
    assert said(recording.one("cache")) == {"headrace.cache": "miss"}
    assert said(call)["server.address"] == "127.0.0.1"
    assert said(call)["http.response.status_code"] == 200
    assert asked.heads[0][b"traceparent"].decode() == f"00-{TRACE}-{context(call).span_id:016x}-01"


async def test_an_answer_from_memory_names_the_cache_and_no_worker(tmp_path: Path, start: Start) -> None:
    recording = Recording()
    async with traced(tmp_path, recording, await start(Worker()), cache_ttl_s=60) as app:
        await ask(app, 1.0, traceparent=UNRECORDED)
        await ask(app, 1.0)
    server = recording.one(ROUTE)
    assert said(server)["headrace.outcome"] == "hit"
    assert recording.of(server) == ["admission", "cache"]
    assert said(recording.one("cache")) == {"headrace.cache": "hit", "headrace.cache.store": "memory"}


async def test_who_joins_a_computation_is_linked_to_whose_it_is(tmp_path: Path, start: Start) -> None:
    recording, let_go = Recording(), asyncio.Event()
    asked = Worker(let_go)
    async with traced(tmp_path, recording, await start(asked), cache_ttl_s=60) as app:
        leader = asyncio.create_task(ask(app, 1.0))
        await until(lambda: asked.heads)
        joins = [asyncio.create_task(ask(app, 1.0)) for _ in range(2)]
        await until(lambda: app.components.gateway.cache.stats.joins == 2)
        let_go.set()
        await asyncio.gather(leader, *joins)
    first = next(span for span in recording.all(ROUTE) if "balance" in recording.of(span))
    joined = [span for span in recording.all("cache") if said(span)["headrace.cache"] == "join"]
    assert len(joined) == 2
    assert all(linked(span) == ids([first]) for span in joined)
    assert len(recording.all("POST")) == 1


async def test_each_attempt_is_a_call_of_its_own(tmp_path: Path, start: Start) -> None:
    recording = Recording()
    async with traced(tmp_path, recording, await start(hang_up), await start(hang_up)) as app:
        assert (await ask(app, 1.0)).status_code == 503
    first, second = recording.all("POST")
    assert recording.of(recording.one("balance")) == ["POST", "POST"]
    assert said(first)["server.port"] != said(second)["server.port"]
    assert "http.request.resend_count" not in said(first)
    assert said(second)["http.request.resend_count"] == 1
    assert said(first)["error.type"] == said(second)["error.type"] == "ConnectionFailed"
    server = recording.one(ROUTE)
    assert status(server) is StatusCode.ERROR
    assert said(server)["error.type"] == said(server)["headrace.outcome"] == "WorkerUnavailable"


@pytest.mark.parametrize(
    ("answered", "gateway", "failed"),
    [(b"400 Bad Request", 400, StatusCode.UNSET), (b"500 Internal Server Error", 500, StatusCode.ERROR)],
)
async def test_what_the_client_has_done_wrong_is_an_error_of_the_call_and_not_of_the_server(
    answered: bytes, gateway: int, failed: StatusCode, tmp_path: Path, start: Start
) -> None:
    recording = Recording()
    async with traced(tmp_path, recording, await start(refusing(answered))) as app:
        assert (await ask(app, 1.0)).status_code == gateway
    assert status(recording.one(ROUTE)) is failed
    assert said(recording.one(ROUTE))["http.response.status_code"] == gateway
    assert status(recording.one("POST")) is StatusCode.ERROR
    assert said(recording.one("POST"))["error.type"] == str(gateway)


async def test_a_request_that_is_refused_got_no_further_than_admission(tmp_path: Path) -> None:
    recording = Recording()
    async with traced(tmp_path, recording) as app:
        assert (await app.client.post(INFER, content=b"{")).status_code == 400
    server = recording.one(ROUTE)
    assert recording.of(server) == ["admission"]
    assert said(recording.one("admission")) == {"error.type": "InvalidInput"}
    assert said(server)["headrace.outcome"] == "InvalidInput"


async def test_a_call_that_is_given_up_at_the_deadline_says_so(tmp_path: Path, start: Start) -> None:
    recording = Recording()
    async with traced(tmp_path, recording, await start(Worker(asyncio.Event()))) as app:
        answer = await ask(app, 1.0, **{"x-request-timeout-ms": "50"})
    assert answer.status_code == 504
    assert said(recording.one("POST"))["error.type"] == "CancelledError"
    assert said(recording.one(ROUTE))["error.type"] == "DeadlineExceeded"


async def test_requests_that_leave_together_share_a_call_which_is_linked_to_each(tmp_path: Path, start: Start) -> None:
    recording, let_go = Recording(), asyncio.Event()
    asked = Worker(let_go)
    async with traced(tmp_path, recording, await start(asked)) as app:
        target = app.components.membership.table.resolve("m", None)
        alone = [await asked_alone(app, asked) for _ in range(target.slots)]
        together = [asyncio.create_task(ask(app, float(n))) for n in range(10, 13)]
        await until(lambda: app.components.limits.admission.in_flight == target.slots + 3)
        let_go.set()
        await asyncio.gather(*alone, *together)
    group, waits = recording.one("coalesced"), [span for span in recording.all("coalesce") if linked(span)]
    members = [span for span in recording.all(ROUTE) if "balance" not in recording.of(span)]
    assert len(waits) == len(members) == 3
    assert linked(group) == ids(members)
    assert all(linked(wait) == ids([group]) for wait in waits)
    assert said(group)["headrace.coalesced.requests"] == 3
    assert recording.of(group) == ["balance"]
    assert trace_of(group) not in {trace_of(member) for member in members}


async def test_where_one_of_those_that_leave_together_is_recorded_the_call_is_in_its_trace(
    tmp_path: Path, start: Start
) -> None:
    recording, let_go = Recording(0.0), asyncio.Event()
    asked = Worker(let_go)
    async with traced(tmp_path, recording, await start(asked)) as app:
        target = app.components.membership.table.resolve("m", None)
        alone = [await asked_alone(app, asked) for _ in range(target.slots)]
        together = [asyncio.create_task(ask(app, 10.0)), asyncio.create_task(ask(app, 11.0, traceparent=RECORDED))]
        await until(lambda: app.components.limits.admission.in_flight == target.slots + 2)
        let_go.set()
        await asyncio.gather(*alone, *together)
    assert recording.of(recording.one(ROUTE)) == ["admission", "coalesce", "coalesced"]
    assert {trace_of(span) for span in recording.spans} == {TRACE}
    assert recorded_trace(asked.heads[-1]) == TRACE


async def test_a_worker_is_told_that_a_request_is_not_recorded(tmp_path: Path, start: Start) -> None:
    recording, asked = Recording(0.0), Worker()
    async with traced(tmp_path, recording, await start(asked)) as app:
        await ask(app, 1.0)
        await ask(app, 2.0, traceparent=UNRECORDED)
    callers = [caller_of(head) for head in asked.heads]
    assert [caller is not None and not caller.records for caller in callers] == [True, True]
    assert asked.heads[1][b"traceparent"] == UNRECORDED.encode()
    assert not recording.spans


async def test_without_tracing_the_callers_trace_is_handed_on_and_nothing_else(tmp_path: Path, start: Start) -> None:
    asked = Worker()
    async with application(tmp_path) as app:
        await app.upload()
        await app.publish(described("m", cache_ttl_s=0), "stable")
        await app.load(await start(asked))
        await ask(app, 1.0)
        await ask(app, 2.0, traceparent=RECORDED, tracestate="vendor=1")
    bare, handed = asked.heads
    assert bare.keys() == {b"host", b"content-length", b"inference-header-content-length", b"x-request-timeout-ms"}
    assert handed.keys() - bare.keys() == {b"traceparent", b"tracestate"}
    assert (handed[b"traceparent"], handed[b"tracestate"]) == (RECORDED.encode(), b"vendor=1")


@pytest.mark.parametrize("share", [1.0, 0.0])
async def test_the_exemplar_of_a_latency_is_the_trace_that_was_recorded(
    share: float, tmp_path: Path, start: Start
) -> None:
    recording = Recording(share)
    async with traced(tmp_path, recording, await start(Worker())) as app:
        await ask(app, 1.0)
        metrics = await app.client.get("/metrics", headers={"accept": "application/openmetrics-text"})
    traces = [f'trace_id="{trace_of(span)}"' for span in recording.all(ROUTE)]
    assert [trace in metrics.text for trace in traces] == [True] * len(traces)
    assert ("trace_id" in metrics.text) == bool(traces)
