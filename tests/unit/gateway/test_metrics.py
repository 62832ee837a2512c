"""What the gateway says of its routes and replicas, and of single requests."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.gateway.application import Application, application, described, worker
from tests.unit.gateway.conftest import Start
from wire.messages import InferRequest, InferResponse
from wire.tensors import Tensor

ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path) as app:
        await app.upload()
        yield app


async def told(app: Application, name: str) -> dict[tuple[str, ...], float]:
    """The values of a metric of the gateway by those of its labels, in the labels' order."""
    answer = await app.client.get("/metrics")
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == f"headrace_gateway_{name}"
    }


def same(request: InferRequest) -> InferResponse:
    (x,) = request.inputs
    return InferResponse("", "", (Tensor("y", x.datatype, x.shape, x.data),))


async def publish(app: Application, version: int, **fields: Any) -> None:
    (await app.publish(described(description=str(version)), **fields)).raise_for_status()


async def test_a_version_counts_the_workers_that_answer_for_it_and_one_that_nothing_names_counts_none(
    app: Application,
) -> None:
    for version in (1, 2):
        await publish(app, version)
    assert await told(app, "version_workers") == {("m", "1"): 0}
    await app.load(NOWHERE, "w1")
    await app.load("http://127.0.0.1:2", "w2")
    assert await told(app, "version_workers") == {("m", "1"): 2}
    assert await told(app, "workers") == {(): 2}


async def test_a_model_that_was_unloaded_wants_no_workers(app: Application) -> None:
    await publish(app, 1)
    (await app.client.post("/admin/models/m/unload")).raise_for_status()
    assert await told(app, "version_workers") == {}
    assert await told(app, "version_failed") == {("m", "1"): 0}


async def test_shares_are_those_of_the_route(app: Application) -> None:
    for version in (1, 2):
        await publish(app, version)
    await app.load()
    (await app.client.put("/admin/models/m/route", json={"weights": {"1": 3, "2": 1}})).raise_for_status()
    assert await told(app, "version_share") == {("m", "1"): 0.75, ("m", "2"): 0.25}
    assert await told(app, "version_workers") == {("m", "1"): 1, ("m", "2"): 1}


async def test_a_version_that_will_not_be_loaded_has_failed(app: Application) -> None:
    for version in (1, 2):
        await publish(app, version)
    model = await app.components.registry.model("m")
    await app.components.registry.mark_failed(model.versions[1].id, "it crashes")
    await app.components.membership.refresh()
    assert await told(app, "version_failed") == {("m", "1"): 0, ("m", "2"): 1}


async def test_a_replica_s_requests_are_in_flight_until_they_are_answered(app: Application, start: Start) -> None:
    goes_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await goes_on.wait()
        await worker(same)(reader, writer)

    await publish(app, 1)
    url = await start(serve)
    await app.load(url)
    asked = asyncio.create_task(app.client.post("/v2/models/m/infer", json=ROW))
    while await told(app, "replica_in_flight") != {(url,): 1}:
        await asyncio.sleep(0.01)
    goes_on.set()
    assert (await asked).status_code == 200
    assert await told(app, "replica_in_flight") == {(url,): 0}
    assert await told(app, "replica_available") == {(url,): 1}


async def test_behind_a_load_balancer_the_replica_is_the_load_balancer(tmp_path: Path) -> None:
    async with application(tmp_path, upstream=NOWHERE) as app:
        await app.upload()
        await publish(app, 1)
        for id, port in (("w1", 2), ("w2", 3)):
            await app.load(f"http://127.0.0.1:{port}", id)
        assert await told(app, "replica_available") == {(NOWHERE,): 1}
        assert await told(app, "version_workers") == {("m", "1"): 2}
        assert (await app.client.post("/v2/models/m/infer", json=ROW)).status_code == 503
        assert await told(app, "replica_available") == {(NOWHERE,): 0}


async def test_a_bucket_names_the_trace_of_a_request_to_who_takes_openmetrics(app: Application) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    app.components.metrics.record_answer("oip", "m", "1", "hit", 0.02, trace)
    app.components.metrics.record_answer("oip", "m", "1", "hit", 0.2)
    accepted = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
    answer = await app.client.get("/metrics", headers=accepted)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    (line,) = [line for line in answer.text.splitlines() if "trace_id" in line]
    assert line.startswith("headrace_gateway_request_seconds_bucket{")
    assert 'le="0.025"' in line
    assert f'# {{trace_id="{trace}"}} 0.02 ' in line
    assert "trace_id" not in (await app.client.get("/metrics")).text
