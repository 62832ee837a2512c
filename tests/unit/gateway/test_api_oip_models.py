import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi.routing import iter_route_contexts

from storage.model_name import RESERVED
from tests.unit.gateway.application import Application, application, described, text_model
from tests.unit.gateway.conftest import Serve, Start


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path) as app:
        await app.upload()
        yield app


def telling(*entries: dict[str, Any]) -> Serve:
    """A worker that tells these statistics."""
    body = orjson.dumps({"model_stats": entries})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await reader.readuntil(b"\r\n\r\n")
            assert asked.startswith(b"GET /v2/models/stats HTTP/1.1\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    return serve


def entry(version: str = "1", name: str = "m", times: int = 1) -> dict[str, Any]:
    compute = {f"compute_{part}": {"count": 2 * times, "ns": 20 * times} for part in ("input", "infer", "output")}
    return {
        "name": name,
        "version": version,
        "last_inference": 1000 * times,
        "inference_count": 4 * times,
        "execution_count": 3 * times,
        "inference_stats": {
            "success": {"count": 2 * times, "ns": 50 * times},
            "fail": {"count": times, "ns": times},
            "queue": {"count": 2 * times, "ns": 5 * times},
            **compute,
        },
        "batch_stats": [{"batch_size": times, **compute}],
    }


async def test_a_platform_without_models_is_ready_once_a_worker_lives(app: Application) -> None:
    answer = await app.client.get("/v2/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"error": "no worker is alive"})
    assert answer.headers["retry-after"] == "1"
    await app.load()
    answer = await app.client.get("/v2/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True})
    assert (await app.client.get("/v2/health/live")).json() == {"live": True}


async def test_a_platform_whose_workers_are_all_unwell_is_not_ready(app: Application) -> None:
    await app.load()
    for replica in app.components.membership.replicas.values():
        replica.healthy = False
    assert (await app.client.get("/v2/health/ready")).status_code == 503


async def test_a_model_describes_itself_also_before_it_is_loaded(app: Application) -> None:
    await app.publish(described())
    await app.publish(text_model("sentence-embedding", "m"), alias="candidate")
    tensor = {"datatype": "FP32", "shape": [-1, 2]}
    expected = {
        "name": "m",
        "versions": [],
        "platform": "onnxruntime_onnx",
        "task": "tensors",
        "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "y", **tensor}],
    }
    assert (await app.client.get("/v2/models/m")).json() == expected
    await app.load()
    expected["versions"] = ["1", "2"]
    for path in ("/v2/models/m", "/v2/models/m/versions/1", "/v2/models/m/versions/stable"):
        assert (await app.client.get(path)).json() == expected
    candidate = (await app.client.get("/v2/models/m/versions/candidate")).json()
    assert candidate["task"] == "sentence-embedding"
    assert candidate["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]


async def test_all_models_are_named(app: Application) -> None:
    for name in ("z", "a.b"):
        await app.publish(described(name))
    assert (await app.client.get("/v2/models")).json() == {"models": ["a.b", "z"]}


async def test_a_model_is_ready_while_a_worker_has_it(app: Application) -> None:
    version = (await app.publish(described())).json()

    async def statuses() -> list[int]:
        paths = ("/v2/models/m/ready", "/v2/models/m/versions/1/ready", "/v2/models/m/versions/stable/ready")
        return [(await app.client.get(path)).status_code for path in paths]

    assert await statuses() == [503, 503, 503]
    await app.load(state="loading")
    assert await statuses() == [503, 503, 503]
    await app.load()
    assert await statuses() == [200, 200, 200]
    for path in ("/v2/models/other/ready", "/v2/models/m/versions/2/ready"):
        assert (await app.client.get(path)).status_code == 404
    await app.load(state="failed")
    await app.components.registry.mark_failed(version["id"], "the graph is broken")
    await app.components.membership.refresh()
    answer = await app.client.get("/v2/models/m/ready")
    assert answer.status_code == 503
    assert "the graph is broken" in answer.json()["error"]
    assert "retry-after" not in answer.headers  # it will not become ready by itself


async def test_statistics_are_the_sum_over_the_workers(app: Application, start: Start) -> None:
    await app.publish(described())
    await app.publish(described(description="better"))
    await app.load(await start(telling(entry(), entry("2"))), id="w1")
    await app.load(await start(telling(entry(times=10))), id="w2")
    (one,) = (await app.client.get("/v2/models/m/versions/1/stats")).json()["model_stats"]
    assert one["last_inference"] == 10_000
    assert (one["inference_count"], one["execution_count"]) == (44, 33)
    assert one["inference_stats"]["success"] == {"count": 22, "ns": 550}
    assert one["inference_stats"]["fail"] == {"count": 11, "ns": 11}
    assert [batch["batch_size"] for batch in one["batch_stats"]] == [1, 10]
    assert one["batch_stats"][1]["compute_infer"] == {"count": 20, "ns": 200}
    both = (await app.client.get("/v2/models/m/stats")).json()["model_stats"]
    assert [(stats["version"], stats["inference_count"]) for stats in both] == [("1", 44), ("2", 4)]
    assert (await app.client.get("/v2/models/stats")).json()["model_stats"] == both


async def test_what_a_gateway_answers_without_a_worker_is_added_to_what_was_answered_and_not_to_what_was_computed(
    app: Application, start: Start
) -> None:
    await app.publish(described())
    await app.load(await start(telling(entry())))
    counts = app.components.gateway.counts["m", "1"]
    counts.hits.add(3e-6, 3)
    counts.misses.add(1e-6)
    counts.shared.add(4e-6, 4)
    (one,) = (await app.client.get("/v2/models/m/stats")).json()["model_stats"]
    stats = one["inference_stats"]
    assert stats["success"] == {"count": 2 + 3 + 4, "ns": 50 + 3000 + 4000}
    assert stats["queue"] == {"count": 2 + 3 + 4, "ns": 5}
    assert stats["compute_infer"] == {"count": 2, "ns": 20}
    assert (stats["cache_hit"]["count"], stats["cache_miss"]["count"]) == (3, 1)


async def test_batches_of_one_size_are_added_up(app: Application, start: Start) -> None:
    await app.publish(described())
    for id in ("w1", "w2"):
        await app.load(await start(telling(entry())), id=id)
    (stats,) = (await app.client.get("/v2/models/stats")).json()["model_stats"]
    (batch,) = stats["batch_stats"]
    assert (batch["batch_size"], batch["compute_input"]) == (1, {"count": 4, "ns": 40})


async def test_a_silent_worker_is_left_out_of_the_statistics(app: Application, start: Start) -> None:
    await app.publish(described())
    await app.load("http://127.0.0.1:1", id="gone")
    assert (await app.client.get("/v2/models/stats")).status_code == 503
    await app.load(await start(telling(entry())), id="w1")
    (stats,) = (await app.client.get("/v2/models/stats")).json()["model_stats"]
    assert stats["inference_count"] == 4


async def test_the_index_says_why_a_version_cannot_be_asked(app: Application) -> None:
    for text in ("stable", "unnamed", "broken"):
        version = (await app.publish(described(description=text), alias=text if text == "broken" else None)).json()
    await app.components.registry.mark_failed(version["id"], "a broken graph")

    async def index(**asked: Any) -> dict[str, tuple[str, str]]:
        # As tritonclient sends it: JSON that does not say so, or nothing at all.
        content = orjson.dumps(asked) if asked else b""
        entries = (await app.client.post("/v2/repository/index", content=content)).json()
        return {entry["version"]: (entry["state"], entry["reason"]) for entry in entries}

    unnamed, broken = ("UNAVAILABLE", "no alias and no route names it"), ("UNAVAILABLE", "a broken graph")
    assert await index() == {"1": ("LOADING", ""), "2": unnamed, "3": broken}
    await app.components.registry.beat("w1", "http://127.0.0.1:1", {"1": {"state": "ready", "reason": None}})
    await app.components.membership.refresh()
    assert await index() == {"1": ("READY", ""), "2": unnamed, "3": broken}
    assert await index(ready=True) == {"1": ("READY", "")}
    await app.components.registry.beat("w1", "http://127.0.0.1:1", {})
    assert (await app.client.post("/admin/models/m/unload")).status_code == 200
    assert set((await index()).values()) == {("UNAVAILABLE", "unloaded")}


async def test_loading_waits_for_the_workers(tmp_path: Path) -> None:
    async with application(tmp_path, refresh_s=0.01) as app:
        await app.upload()
        await app.publish(described())
        await app.load(state="loading")
        loading = asyncio.create_task(app.client.post("/v2/repository/models/m/load", content=b"{}"))
        await asyncio.sleep(0.1)
        assert not loading.done()
        await app.load()
        assert (await loading).json() == {"name": "m", "load": True}
        unloading = asyncio.create_task(
            app.client.post("/v2/repository/models/m/unload", content=b'{"parameters": {"unload_dependents": false}}')
        )
        await asyncio.sleep(0.1)
        assert not unloading.done()
        await app.load(state="unloading")
        assert (await unloading).json() == {"name": "m", "unload": True}
        assert (await app.components.registry.model("m")).enabled is False
        events = (await app.client.get("/admin/events?model=m")).json()
        assert [(event["kind"], event["actor"]) for event in events[:1]] == [("disabled", "127.0.0.1")]


async def test_loading_ends_when_it_fails_or_takes_too_long(tmp_path: Path) -> None:
    async with application(tmp_path, refresh_s=0.01, max_timeout_ms=100) as app:
        await app.upload()
        version = (await app.publish(described())).json()
        slow = await app.client.post("/v2/repository/models/m/load")
        assert slow.status_code == 503
        assert "still loading" in slow.json()["error"]
        await app.components.registry.mark_failed(version["id"], "a broken graph")
        failed = await app.client.post("/v2/repository/models/m/load")
        assert failed.status_code == 503
        assert "a broken graph" in failed.json()["error"]
        assert (await app.client.post("/v2/repository/models/other/load")).status_code == 404


async def test_no_path_but_the_statistics_of_all_models_stands_where_a_model_s_name_may(app: Application) -> None:
    """Or a model of that name could not be asked; registration refuses such names."""
    transport: Any = app.client._transport
    paths = [route.path.split("/") for route in iter_route_contexts(transport.app.routes) if route.path]
    hidden = set()
    for path in paths:
        for other in paths:
            pairs = list(zip(path, other, strict=False))
            differing = [(one, two) for one, two in pairs if one != two]
            if len(path) == len(other) and len(differing) == 1:
                (one, two) = differing[0]
                hidden |= {two} if one.startswith("{") and not two.startswith("{") else set()
    assert hidden == {"stats"}
    assert hidden <= RESERVED
