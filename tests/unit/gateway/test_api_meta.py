import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cache.stats import CacheStats
from tests.unit.gateway.application import Application, application, described, embeds, text_model, worker
from tests.unit.gateway.conftest import Start
from wire.messages import InferRequest, InferResponse
from wire.tensors import Tensor


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path) as app:
        yield app


async def test_the_docs_need_nothing_from_elsewhere(app: Application) -> None:
    page = await app.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in re.sub(r"<!--.*?-->", "", page.text).replace("</", "")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text) + re.findall(r"url: '([^']+)'", page.text)
    assert len(links) == 4
    for link in links:
        answer = await app.client.get(f"/{link}")
        assert answer.status_code == 200, link
        assert len(answer.content) > 100


async def test_metrics_tell_of_requests_and_of_the_cache(app: Application, start: Start) -> None:
    await app.upload()
    await app.publish(text_model("sentence-embedding", "embedder"))
    await app.load(await start(worker(embeds)))
    for _ in range(2):
        await app.client.post("/v1/embeddings", json={"model": "embedder", "input": "a"})
    answer = await app.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    labels = {"protocol": "openai", "model": "embedder", "version": "1"}
    for outcome in ("miss", "hit"):
        asked = tuple(sorted({**labels, "outcome": outcome}.items()))
        assert samples["headrace_gateway_request_seconds_count", asked] == 1
    assert samples["headrace_cache_hits_total", (("store", "memory"),)] == 1
    assert samples["headrace_cache_hits_total", (("store", "shared"),)] == 0
    assert samples["headrace_cache_misses_total", ()] == 1
    assert samples["headrace_cache_memory_entries", ()] == 1


async def test_metrics_tell_how_many_requests_shared_a_worker_s_request(app: Application, start: Start) -> None:
    all_asked = asyncio.Event()

    def same(request: InferRequest) -> InferResponse:
        (x,) = request.inputs
        return InferResponse("", "", (Tensor("y", x.datatype, x.shape, x.data),))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await all_asked.wait()
        await worker(same)(reader, writer)

    async def metric(name: str) -> float:
        told = (await app.client.get("/metrics")).text
        return float(told.partition(f"\nheadrace_gateway_{name} ")[2].split("\n")[0])

    await app.upload()
    await app.publish(described())
    await app.load(await start(serve))
    assert await metric("coalesced_total") == 0
    rows = [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [n, n]} for n in range(5)]
    slots = app.components.membership.table.resolve("m", None).slots
    tasks = []
    for row in rows:  # one after the other: those of one turn of the loop would leave together
        tasks.append(asyncio.create_task(app.client.post("/v2/models/m/infer", json={"inputs": [row]})))
        while app.components.limits.admission.in_flight < len(tasks):
            await asyncio.sleep(0.01)
    all_asked.set()
    answers = [answer.json()["outputs"][0]["data"] for answer in await asyncio.gather(*tasks)]
    assert answers == [row["data"] for row in rows]
    assert await metric("coalesced_total") == len(rows) - slots > 1


async def test_every_number_of_the_cache_is_told(app: Application) -> None:
    told = (await app.client.get("/metrics")).text
    for field in fields(CacheStats):
        name = "hits" if field.name.startswith("hits_") else field.name
        assert re.search(rf"^headrace_cache_{name}(_total)?[ {{]", told, re.MULTILINE), field.name
