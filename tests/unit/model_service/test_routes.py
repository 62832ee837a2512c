"""The worker's application over models that are loaded, without a socket."""

from asyncio import create_task, gather
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from model_service.app import create_app
from model_service.loaded_model import LoadedModel
from model_service.models import Models
from model_service.settings import WorkerSettings
from model_service.tasks.base import Item
from model_service.tasks.tensors import TensorsTask
from storage.manifest import Manifest
from tests.unit.model_service.engines import TWO, Multiplying, model, until
from tests.unit.model_service.workers import Worker, version
from wire.codec import decode_response, encode_request
from wire.messages import InferRequest
from wire.tensors import from_json

X = {"name": "x", "datatype": "FP32", "shape": [1, 2]}
BODY = {"inputs": [{**X, "data": [1, 2]}], "id": "42"}
LIMIT = 10_000


class Served:
    """An application with versions 1 and 2 of `small`; version 2's engine waits for `gate`."""

    def __init__(self, folder: Path) -> None:
        self.gate = Event()
        self.gate.set()
        self.engine = Multiplying(self.gate)
        self.worker = Worker(folder)
        self.models: Models = self.worker.models
        self.models.add(model(Multiplying(), number=1))
        self.models.add(model(self.engine, self._narrow(), number=2))
        app = create_app(self.models, self.worker.reconciler, WorkerSettings(max_body_bytes=LIMIT))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://worker")

    async def infer(self, body: Any = BODY, at: str = "", **options: Any) -> httpx.Response:
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await self.client.post(f"/v2/models/small{at}/infer", **content, **options)

    def _narrow(self) -> Manifest:
        return TWO.model_copy(update={"batching": TWO.batching.model_copy(update={"max_queue_rows": 1})})


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(tmp_path)
    async with served.client:
        yield served
        served.gate.set()
        await gather(*(loaded.close() for loaded in list(served.models)))


async def test_json_is_answered_in_json_by_the_highest_version(served: Served) -> None:
    answer = await served.infer()
    assert answer.status_code == 200
    assert answer.json() == {
        "model_name": "small",
        "model_version": "2",
        "id": "42",
        "outputs": [{**X, "name": "twice", "data": [2, 4]}, {**X, "name": "thrice", "data": [3, 6]}],
    }


async def test_a_version_is_asked_by_its_number(served: Served) -> None:
    assert [(await served.infer(at=f"/versions/{n}")).json()["model_version"] for n in (1, 2)] == ["1", "2"]


async def test_binary_is_answered_in_binary(served: Served) -> None:
    body, length = encode_request(InferRequest("small", None, [from_json("x", "FP32", (1, 2), [1, 2])]))
    answer = await served.infer(body, headers={"inference-header-content-length": str(length)})
    assert answer.headers["content-type"] == "application/octet-stream"
    decoded = decode_response(answer.content, int(answer.headers["inference-header-content-length"]))
    assert decoded.outputs == (
        from_json("twice", "FP32", (1, 2), [2, 4]),
        from_json("thrice", "FP32", (1, 2), [3, 6]),
    )


@pytest.mark.parametrize(
    ("path", "options", "status", "said"),
    [
        ("POST /v2/models/none/infer", {"json": BODY}, 404, "'none' is not loaded"),
        ("POST /v2/models/small/versions/3/infer", {"json": BODY}, 404, "it has: 1, 2"),
        ("GET /v2/models/none", {}, 404, "'none' is not loaded"),
        ("GET /v2/models/none/stats", {}, 404, "'none' is not loaded"),
        ("GET /v2/models/small/versions/x/ready", {}, 404, "version x"),
        ("GET /nowhere", {}, 404, "nothing at this path"),
        ("GET /v2/models/small/infer", {}, 405, "does not take that method"),
        ("POST /v2/models/small/infer", {"content": b"{"}, 400, "not JSON"),
        ("POST /v2/models/small/infer", {"json": {"inputs": []}}, 400, "at least one tensor"),
        ("POST /v2/models/small/infer", {"json": {"inputs": [{**X, "data": [1]}]}}, 400, "takes 2 elements"),
        ("POST /v2/models/small/infer", {"json": {**BODY, "outputs": [{"name": "z"}]}}, 400, "it has: thrice, twice"),
        ("POST /v2/models/small/infer", {"json": BODY, "headers": {"x-request-timeout-ms": "soon"}}, 400, "soon"),
        ("POST /v2/models/small/infer", {"content": bytes(LIMIT + 1)}, 413, f"takes {LIMIT}"),
        ("POST /v2/models/small/infer", {"json": BODY, "headers": {"content-encoding": "br"}}, 415, "gzip"),
        ("POST /v2/models/small/infer", {"json": BODY, "headers": {"x-request-timeout-ms": "0"}}, 504, "deadline"),
        ("POST /v2/models/small/infer", {"json": {"inputs": [{**X, "data": [-1, 2]}]}}, 500, "no negative numbers"),
    ],
)
async def test_every_refusal_has_its_status_and_says_why(
    served: Served, path: str, options: dict[str, Any], status: int, said: str
) -> None:
    answer = await served.client.request(*path.split(), **options)
    assert answer.status_code == status
    assert answer.json().keys() == {"error"}
    assert said in answer.json()["error"]


async def test_a_full_queue_is_said_with_when_to_come_back(served: Served) -> None:
    served.gate.clear()
    running = create_task(served.infer())
    await until(lambda: served.engine.runs)
    waiting = create_task(served.infer())
    await until(lambda: served.models.get("small").waiting_rows)
    refused = await served.infer()
    assert (refused.status_code, refused.headers["headrace-error"]) == (503, "Overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    served.gate.set()
    assert [answer.status_code for answer in await gather(running, waiting)] == [200, 200]


async def test_a_bug_is_answered_without_telling_its_insides(served: Served) -> None:
    class Broken(TensorsTask):
        def prepare(self, request: InferRequest) -> list[Item]:
            raise KeyError("an inside")

    engine = Multiplying()
    broken = LoadedModel("small", 3, TWO, engine, Broken(TWO, engine))
    served.models.add(broken)
    answer = await served.infer()
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    served.models.remove(broken)


async def test_the_worker_is_ready_once_it_has_loaded_and_until_it_drains(served: Served) -> None:
    ready = "/v2/health/ready"
    loading = await served.client.get(ready)
    assert (loading.status_code, "still loading" in loading.json()["error"]) == (503, True)
    await served.worker.settle()
    assert (await served.client.get(ready)).status_code == 200
    await served.worker.reconciler.drain()
    draining = await served.client.get(ready)
    assert (draining.status_code, "draining" in draining.json()["error"]) == (503, True)
    assert (await served.client.get("/v2/health/live")).status_code == 200
    assert (await served.infer()).status_code == 200


async def test_models_are_described(served: Served) -> None:
    described = (await served.client.get("/v2/models/small/versions/1")).json()
    assert described["versions"] == ["1", "2"]
    assert described["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    assert [output["name"] for output in described["outputs"]] == ["twice", "thrice"]
    assert (await served.client.get("/v2/models/small/ready")).json() == {
        "name": "small",
        "version": "2",
        "ready": True,
    }
    for path in ("/v2", "/v2/"):
        assert "binary_tensor_data" in (await served.client.get(path)).json()["extensions"]


async def test_the_index_names_what_is_loaded_and_what_is_not(served: Served) -> None:
    served.worker.missing = OSError("no such bucket")
    await served.worker.settle(version(5, "absent"))
    assert (await served.client.post("/v2/repository/index")).json() == [
        {"name": "absent", "version": "5", "state": "UNAVAILABLE", "reason": "no such bucket"}
    ]


async def test_requests_that_a_gateway_has_sent_as_one_are_counted_one_by_one(served: Served) -> None:
    await served.infer(headers={"headrace-members": "40"})
    await served.infer()
    (told,) = (await served.client.get("/v2/models/small/versions/2/stats")).json()["model_stats"]
    stats = told["inference_stats"]
    names = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    assert [stats[name]["count"] for name in names] == [41] * 5
    assert (told["inference_count"], told["execution_count"]) == (2, 2)


async def test_requests_are_counted_by_model_and_version(served: Served) -> None:
    for _ in range(3):
        await served.infer()
    await served.infer({"inputs": [{**X, "data": [-1, 2]}]})
    (statistics,) = (await served.client.get("/v2/models/small/versions/2/stats")).json()["model_stats"]
    assert (statistics["inference_count"], statistics["execution_count"]) == (3, 3)
    assert statistics["inference_stats"]["success"]["count"] == 3
    assert statistics["inference_stats"]["fail"]["count"] == 1
    assert [batch["batch_size"] for batch in statistics["batch_stats"]] == [1]
    everything = (await served.client.get("/v2/models/stats")).json()["model_stats"]
    assert [entry["version"] for entry in everything] == ["1", "2"]
    lines = (await served.client.get("/metrics")).text.splitlines()
    assert 'headrace_worker_requests_total{model="small",outcome="success",version="2"} 3.0' in lines
    assert 'headrace_worker_requests_total{model="small",outcome="EngineFailed",version="2"} 1.0' in lines
    assert 'headrace_worker_in_flight{model="small",version="1"} 0.0' in lines
    assert 'headrace_worker_engine_seconds_bucket{le="+Inf",model="small",version="2"} 3.0' in lines
