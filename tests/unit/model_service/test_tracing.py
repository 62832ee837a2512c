"""What the worker's trace of a request says: its application over models that are loaded, spans kept in memory."""

from asyncio import create_task, gather
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from model_service.app import create_app
from model_service.batcher import Batcher
from model_service.settings import WorkerSettings
from storage.manifest import Batching
from tests.spans import RECORDED, TRACE, Recording, ids, linked, said, trace_of
from tests.unit.model_service.batching import in_thread
from tests.unit.model_service.engines import TWO, Multiplying, Negating, item, model, until
from tests.unit.model_service.workers import Worker
from wire.errors import DeadlineExceeded, EngineFailed

ROUTE = "POST /v2/models/{model}/infer"


class Traced:
    """A worker with one model, whose engine waits for `gate`."""

    def __init__(self, folder: Path, recording: Recording) -> None:
        self.recording = recording
        self.gate = Event()
        self.gate.set()
        self.engine = Multiplying(self.gate)
        worker = Worker(folder)
        self.model = model(self.engine, TWO, number=3)
        worker.models.add(self.model)
        app = create_app(worker.models, worker.reconciler, WorkerSettings(), recording.tracer)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://worker")

    async def ask(self, *values: float, **headers: str) -> httpx.Response:
        data = [value for value in values for _ in range(2)]
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(values), 2], "data": data}]}
        return await self.client.post("/v2/models/small/infer", json=body, headers=headers)

    async def close(self) -> None:
        self.gate.set()
        await self.client.aclose()
        await self.model.close()


@pytest.fixture
async def traced(tmp_path: Path) -> AsyncIterator[Traced]:
    traced = Traced(tmp_path, Recording())
    yield traced
    await traced.close()


def times(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


async def test_a_request_waits_in_the_queue_and_runs_in_the_engine(traced: Traced) -> None:
    assert (await traced.ask(1.0, 2.0, traceparent=RECORDED)).status_code == 200
    recording = traced.recording
    server = recording.one(ROUTE)
    assert {trace_of(span) for span in recording.spans} == {TRACE}
    assert server.kind is SpanKind.SERVER
    assert recording.of(server) == ["queue", "batch", "engine"]
    assert said(server) == {
        "http.request.method": "POST",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 200,
        "url.path": "/v2/models/small/infer",
        "url.scheme": "http",
        "headrace.model": "small",
        "headrace.version": "3",
        "headrace.outcome": "success",
    }
    queue, batch, engine = (times(recording.one(name)) for name in ("queue", "batch", "engine"))
    assert times(server)[0] <= queue[0] <= queue[1] == batch[0] <= engine[0] <= engine[1] <= batch[1]


async def test_a_batch_is_linked_to_each_of_its_requests_and_they_to_it(traced: Traced) -> None:
    traced.gate.clear()
    first = create_task(traced.ask(1.0))
    await until(lambda: traced.engine.runs)
    others = [create_task(traced.ask(*([2.0] * n))) for n in (1, 2, 3)]
    await until(lambda: traced.model.waiting_rows == 6)
    traced.gate.set()
    await gather(first, *others)
    recording = traced.recording
    batch = max(recording.all("batch"), key=lambda span: len(span.links))
    members = [span for span in recording.all(ROUTE) if "batch" not in recording.of(span)]
    assert len(members) == 3
    assert linked(batch) == ids(members)
    assert batch.parent is None
    assert trace_of(batch) not in {trace_of(member) for member in members}
    assert said(batch) == {
        "headrace.model": "small",
        "headrace.version": "3",
        "headrace.batch.rows": 6,
        "headrace.batch.requests": 3,
        "headrace.batch.tokens": 0,
        "headrace.batch.padding_tokens": 0,
    }
    assert [recording.of(member) for member in members] == [["queue", "engine"]] * 3
    engines = [span for span in recording.all("engine") if said(span)["headrace.batch.rows"] == 6]
    assert [linked(span) for span in engines] == [ids([batch])] * 3


async def test_a_batch_of_which_nothing_is_recorded_is_not(tmp_path: Path) -> None:
    traced = Traced(tmp_path, Recording(0.0))
    await traced.ask(1.0)
    await traced.close()
    assert not traced.recording.spans


async def test_an_engine_that_fails_is_where_the_trace_says_so(traced: Traced) -> None:
    assert (await traced.ask(-1.0)).status_code == 500
    recording = traced.recording
    for name in ("batch", "engine", ROUTE):
        assert recording.one(name).status.status_code is StatusCode.ERROR
        assert said(recording.one(name))["error.type"] == "EngineFailed"
    assert recording.one("queue").status.status_code is StatusCode.UNSET


async def test_what_the_client_has_done_wrong_is_no_failure_of_the_server(traced: Traced) -> None:
    assert (await traced.client.post("/v2/models/small/infer", content=b"{")).status_code == 400
    assert (await traced.client.post("/v2/models/other/infer", content=b"{")).status_code == 404
    wrong, unknown = traced.recording.all(ROUTE)
    assert said(wrong)["headrace.outcome"] == "InvalidInput"
    assert said(unknown)["headrace.outcome"] == "ModelNotFound"
    assert {span.status.status_code for span in (wrong, unknown)} == {StatusCode.UNSET}


def begun(recording: Recording) -> Any:
    span = recording.tracer.request("request", {}, 0.0)
    assert span is not None
    return span


async def test_who_waits_until_it_is_too_late_has_waited_in_the_queue(traced: Traced) -> None:
    traced.gate.clear()
    first = create_task(traced.ask(1.0))
    await until(lambda: traced.engine.runs)
    answer = await traced.ask(2.0, **{"x-request-timeout-ms": "20"})
    traced.gate.set()
    await first
    assert answer.status_code == 504
    recording = traced.recording
    late = next(span for span in recording.all(ROUTE) if said(span)["headrace.outcome"] == DeadlineExceeded.__name__)
    assert recording.of(late) == ["queue"]
    dropped = [span for span in recording.all("queue") if said(span).get("headrace.queue.dropped")]
    assert len(dropped) == 1


async def test_padding_is_told_and_items_of_one_request_count_as_one() -> None:
    recording = Recording()
    batcher = Batcher(in_thread(Negating()), Batching(max_tokens=0), named={"headrace.model": "m"})
    await batcher.submit([item(1, length=10), item(2, length=12)], span=begun(recording))
    await batcher.close()
    assert said(recording.one("batch")) == {
        "headrace.model": "m",
        "headrace.batch.rows": 2,
        "headrace.batch.requests": 1,
        "headrace.batch.tokens": 22,
        "headrace.batch.padding_tokens": 2,
    }
    assert len(recording.all("queue")) == 1


async def test_a_request_that_takes_several_batches_has_a_wait_and_a_run_of_each() -> None:
    recording = Recording()
    batcher = Batcher(in_thread(Negating()), Batching(max_tokens=0, max_rows=2))
    await batcher.submit([item(number) for number in range(5)], span=begun(recording))
    await batcher.close()
    assert sorted(said(span)["headrace.batch.rows"] for span in recording.all("batch")) == [1, 2, 2]  # type: ignore[type-var]
    assert len(recording.all("queue")) == 3


async def test_after_a_batch_that_failed_each_request_has_the_run_that_answered_it(traced: Traced) -> None:
    traced.gate.clear()
    first = create_task(traced.ask(1.0))
    await until(lambda: traced.engine.runs)
    pair = [create_task(traced.ask(value)) for value in (2.0, -1.0)]
    await until(lambda: traced.model.waiting_rows == 2)
    traced.gate.set()
    answers = await gather(first, *pair)
    assert [answer.status_code for answer in answers] == [200, 200, 500]
    recording = traced.recording
    batch = next(span for span in recording.all("batch") if said(span)["headrace.batch.rows"] == 2)
    well, bad = sorted((s for s in recording.all("engine") if linked(s) == ids([batch])), key=times)
    assert times(well)[1] <= times(bad)[0]
    assert said(well) == {"headrace.batch.rows": 1}
    assert said(bad)["error.type"] == EngineFailed.__name__
    assert said(batch)["error.type"] == EngineFailed.__name__


async def test_a_bucket_names_the_trace_of_a_request_to_who_takes_openmetrics(traced: Traced) -> None:
    await traced.ask(1.0, traceparent=RECORDED)
    accepted = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
    answer = await traced.client.get("/metrics", headers=accepted)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    (line,) = [line for line in answer.text.splitlines() if "trace_id" in line]
    assert line.startswith("headrace_worker_request_seconds_bucket{")
    assert f'# {{trace_id="{TRACE}"}} ' in line
    assert "trace_id" not in (await traced.client.get("/metrics")).text
