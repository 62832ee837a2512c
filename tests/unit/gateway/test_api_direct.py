"""Requests that are served without a task: the same answers, limits and records as by ASGI, over real connections."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx
import orjson
import pytest
from starlette.routing import Route

from cache.settings import CacheSettings, open_cache
from gateway.admission import Admission
from gateway.api import oip
from gateway.api.endpoint import InferenceEndpoint
from gateway.api.repeated_answers import RepeatedAnswers
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.pipeline import Gateway
from gateway.request_log import RequestLog
from gateway.routing import Target
from gateway.settings import GatewaySettings
from service.budget import Budget
from service.fast_path import FastPathApplication
from service.logs import FIELDS
from tests.unit.garbage import garbage
from tests.unit.gateway.models import model
from tests.unit.gateway.test_pipeline import FakeMembership, FakeWorkers
from tests.unit.service.echo import serving
from tests.unit.service.raw_http import read_answer
from wire.errors import CrashingInput, Overloaded

PATH = "/v2/models/m/infer"


def body(*values: float, **more: Any) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": values}
    return orjson.dumps({"inputs": [tensor], **more})


@dataclass
class Platform:
    """A gateway over workers that answer with what they are asked, once they are let go."""

    workers: FakeWorkers
    endpoint: InferenceEndpoint
    client: httpx.AsyncClient
    handed_over: int = 0

    async def infer(self, *values: float, **headers: str) -> httpx.Response:
        return await self.client.post(PATH, content=body(*values), headers=headers)

    @property
    def counted(self) -> dict[str, float]:
        samples = [sample for family in self.endpoint.metrics.registry.collect() for sample in family.samples]
        name = "headrace_gateway_request_seconds_count"
        return {sample.labels["outcome"]: sample.value for sample in samples if sample.name == name}

    def nothing_is_kept(self) -> bool:
        limits = self.endpoint.limits
        return limits.admission.in_flight == 0 and limits.budget.reserved == 0


@asynccontextmanager
async def platform(ttl_s: int = 0, places: int = 64) -> AsyncIterator[Platform]:
    workers = FakeWorkers()
    membership = FakeMembership(model(1, aliases={"stable": 1}))
    table = membership.table
    route = table.models["m"]
    target = replace(route.resolve(None), cache_ttl_s=ttl_s, slots=1)
    membership.table = replace(table, models={"m": replace(route, shares=((1.0, target),))})
    gateway = Gateway(membership, workers, open_cache(CacheSettings(redis_url=None)))
    limits = Limits(Admission(places), 1000, 60.0, 60.0, Budget(1 << 20))
    requests = RequestLog(GatewaySettings(log_sample=1))
    endpoint = InferenceEndpoint(
        "oip",
        oip.Inference(membership),
        gateway,
        metrics=Metrics(),
        requests=requests,
        limits=limits,
        repeated=RepeatedAnswers(membership, gateway.cache),
    )
    app = FastPathApplication()
    app.fast_path_routes = [Route("/v2/models/{model}/infer", endpoint, methods=["POST"])]
    async with (
        serving(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        found = Platform(workers, endpoint, client)
        by_asgi = InferenceEndpoint.__call__

        async def count(*args: Any) -> None:
            found.handed_over += 1
            await by_asgi(endpoint, *args)

        app.fast_path_routes[0].app = _Counting(endpoint, count)
        yield found


class _Counting:
    """The endpoint, with its ASGI side counted."""

    def __init__(self, endpoint: InferenceEndpoint, call: Any) -> None:
        self.begin = endpoint.begin
        self._call = call

    async def __call__(self, *args: Any) -> None:
        await self._call(*args)


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)


# How a request is computed: with others, after a look into the cache, by itself.
WAYS: list[tuple[int, dict[str, Any]]] = [(0, {}), (60, {}), (0, {"parameters": {"k": 1}})]
# What an inference is made of.
OURS = {"DirectRequest", "Exchange", "InferRequest", "InferResponse", "Member", "Question", "Tensor"}


async def test_what_shares_a_workers_request_is_answered_without_asgi() -> None:
    async with platform() as here:
        here.workers.let_go.clear()
        first = asyncio.create_task(here.infer(1, 2))
        await until(lambda: here.workers.calls == 1)
        others = [asyncio.create_task(here.infer(value, 2)) for value in range(5)]
        await until(lambda: here.endpoint.limits.admission.in_flight == 6)
        here.workers.let_go.set()
        answers = [await one for one in (first, *others)]
        assert [answer.json()["outputs"][0]["data"] for answer in answers] == [[1, 2]] + [[n, 2] for n in range(5)]
        assert {answer.headers["x-cache"] for answer in answers} == {"bypass"}
        assert (here.workers.calls, here.handed_over) == (2, 0)
        assert here.counted == {"bypass": 6}
        assert here.nothing_is_kept()


async def test_what_is_cached_is_answered_without_asgi_and_so_is_what_is_not() -> None:
    async with platform(ttl_s=60) as here:
        answers = [await here.infer(1, 2) for _ in range(3)]
        assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit", "hit"]
        assert {answer.content for answer in answers} == {answers[0].content}
        anew = await here.infer(1, 2, **{"cache-control": "no-cache"})
        kept = await here.infer(1, 2, **{"cache-control": "max-age=60"})
        assert (anew.headers["x-cache"], kept.headers["x-cache"]) == ("bypass", "hit")
        assert here.handed_over == 0
        assert here.nothing_is_kept()


async def test_weights_decide_once_which_version_answers_also_for_what_is_handed_over() -> None:
    async with platform(ttl_s=60) as here:
        table = here.endpoint.gateway.membership.table
        route = table.models["m"]
        drawn = route.shares[0][1]
        asked: list[str | None] = []

        class Route:
            enabled, versions, failures = route.enabled, route.versions, route.failures

            def resolve(self, version: str | None) -> Target:
                asked.append(version)
                return drawn

        here.endpoint.gateway.membership.table = replace(table, models={"m": cast(Any, Route())})
        assert (await here.infer(1, 2)).headers["x-cache"] == "miss"
        assert asked == [None]
        here.endpoint.gateway.cache._memory.keep(next(iter(here.endpoint.gateway.cache._memory._entries)), b"junk", 60)
        assert (await here.infer(1, 2)).headers["x-cache"] == "miss"
        assert asked == [None, None, "1"]
        assert here.handed_over == 1


async def test_an_answer_says_what_it_says_by_asgi() -> None:
    async with platform() as here:
        plain = await here.infer(1, 2, **{"x-request-id": "mine"})
        zipped = await here.infer(1, 2, **{"x-request-id": "mine", "accept-encoding": "gzip"})
        assert here.handed_over == 1
        assert plain.content == zipped.content
        without = {name: value for name, value in zipped.headers.items() if name != "content-encoding"}
        assert {**plain.headers, "content-length": ""} == {**without, "content-length": ""}


async def test_equal_requests_that_miss_together_are_computed_once() -> None:
    async with platform(ttl_s=60) as here:
        here.workers.let_go.clear()
        asking = [asyncio.create_task(here.infer(1, 2)) for _ in range(5)]
        await until(lambda: here.endpoint.limits.admission.in_flight == 5)
        here.workers.let_go.set()
        answers = [await one for one in asking]
        assert [answer.headers["x-cache"] for answer in answers] == ["miss"] * 5
        assert (here.workers.calls, here.handed_over) == (1, 0)
        assert here.nothing_is_kept()


async def test_what_travels_alone_is_answered_without_asgi() -> None:
    async with platform() as here:
        answer = await here.client.post(PATH, content=body(1, 2, parameters={"k": 1}))
        assert answer.json()["outputs"][0]["data"] == [1, 2]
        assert (here.workers.calls, here.handed_over) == (1, 0)
        assert here.endpoint.gateway.coalescer.coalesced == 0
        assert here.nothing_is_kept()


@pytest.mark.parametrize(
    ("error", "status"), [(Overloaded("full", retry_after=3), 503), (CrashingInput("no"), 422), (RuntimeError(), 500)]
)
@pytest.mark.parametrize(("ttl_s", "said"), WAYS)
async def test_an_error_is_answered_as_by_asgi_and_counted_once_for_its_model(
    error: Exception, status: int, ttl_s: int, said: dict[str, Any]
) -> None:
    async with platform(ttl_s) as here:
        here.workers.error = error
        answer = await here.client.post(PATH, content=body(1, 2, **said))
        assert answer.status_code == status
        assert set(answer.json()) == {"error"}
        assert answer.headers.get("retry-after") == ("3" if status == 503 else None)
        assert list(here.counted.values()) == [1]
        ((_, model, version, _),) = here.endpoint.metrics.seconds
        assert (model, version) == ("m", "")
        assert here.nothing_is_kept()


async def test_a_body_that_makes_no_sense_and_one_that_is_too_large_are_refused() -> None:
    async with platform() as here:
        for content, status in ((b"{", 400), (body(1, 2, id="x" * 1000), 413), (body(1, 2, inputs=[]), 400)):
            assert (await here.client.post(PATH, content=content)).status_code == status
        assert (await here.client.post("/v2/models/other/infer", content=body(1, 2))).status_code == 404
        assert sum(here.counted.values()) == 4
        assert here.nothing_is_kept()


@pytest.mark.parametrize(("ttl_s", "said"), WAYS)
async def test_at_its_deadline_a_request_is_answered_and_what_was_asked_for_it_is_cancelled(
    ttl_s: int, said: dict[str, Any]
) -> None:
    async with platform(ttl_s) as here:
        here.workers.let_go.clear()
        answer = await here.client.post(PATH, content=body(1, 2, **said), headers={"x-request-timeout-ms": "50"})
        assert answer.status_code == 504
        await until(lambda: here.workers.abandoned == 1)
        assert here.counted == {"DeadlineExceeded": 1}
        assert here.nothing_is_kept()


async def test_a_client_that_hangs_up_is_forgotten_and_the_others_of_its_group_are_answered() -> None:
    async with platform() as here:
        here.workers.let_go.clear()
        asking = [asyncio.create_task(here.infer(value, 2)) for value in range(3)]
        await until(lambda: here.endpoint.limits.admission.in_flight == 3)
        asking[1].cancel()
        await until(lambda: here.endpoint.limits.admission.in_flight == 2)
        here.workers.let_go.set()
        assert [(await asking[n]).status_code for n in (0, 2)] == [200, 200]
        assert here.counted == {"ClientGone": 1, "bypass": 2}
        assert here.nothing_is_kept()


@pytest.mark.parametrize(("ttl_s", "said"), WAYS)
async def test_where_all_clients_of_a_request_hang_up_the_worker_is_told(ttl_s: int, said: dict[str, Any]) -> None:
    async with platform(ttl_s) as here:
        here.workers.let_go.clear()
        asking = asyncio.create_task(here.client.post(PATH, content=body(1, 2, **said)))
        await until(lambda: here.workers.calls == 1)
        asking.cancel()
        await until(lambda: here.workers.abandoned == 1)
        assert here.nothing_is_kept()


async def test_over_the_limit_of_requests_at_once_one_more_is_refused() -> None:
    async with platform(places=2) as here:
        here.workers.let_go.clear()
        asking = [asyncio.create_task(here.infer(value, 2)) for value in range(2)]
        await until(lambda: here.endpoint.limits.admission.in_flight == 2)
        refused = await here.infer(3, 2)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        here.workers.let_go.set()
        assert [(await one).status_code for one in asking] == [200, 200]


async def test_a_request_is_logged_with_its_id_and_its_size(caplog: pytest.LogCaptureFixture) -> None:
    async with platform() as here:
        with caplog.at_level(logging.INFO):
            await here.infer(1, 2, **{"x-request-id": "mine"})
        (line,) = [getattr(record, FIELDS) for record in caplog.records if record.getMessage() == "request"]
        assert (line["request_id"], line["body_bytes"], line["outcome"]) == ("mine", len(body(1, 2)), "bypass")


async def test_a_timeout_in_the_body_is_obeyed() -> None:
    async with platform() as here:
        here.workers.let_go.clear()
        answer = await here.client.post(PATH, content=body(1, 2, parameters={"timeout": 50_000}))
        assert answer.status_code == 504


def head(length: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join(
        [b"POST %b HTTP/1.1" % PATH.encode(), b"host: x", b"content-length: " + length, *lines, b"", b""]
    )


async def test_a_body_that_comes_after_its_head_has_the_same_deadline_and_the_same_records() -> None:
    async with platform() as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.client.base_url.port)
        content = body(1, 2)
        writer.write(head(b"%d" % len(content), b"x-request-timeout-ms: 50") + content[:10])
        assert (await read_answer(reader))[0] == 504
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", here.client.base_url.port)
        writer.write(head(b"%d" % len(content)) + content[:10])
        await until(lambda: here.endpoint.limits.budget.reserved > 0)
        writer.close()
        await until(here.nothing_is_kept)
        assert here.counted == {"DeadlineExceeded": 1, "ClientGone": 1}
        reader, writer = await asyncio.open_connection("127.0.0.1", here.client.base_url.port)
        for part in (head(b"%d" % len(content)), content[:10], content[10:]):
            writer.write(part)
            await asyncio.sleep(0.01)
        assert (await read_answer(reader))[0] == 200
        writer.close()


async def test_a_length_of_many_digits_is_refused_with_a_reason() -> None:
    async with platform() as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.client.base_url.port)
        writer.write(head(b"0" * 5000 + b"5") + b"12345")
        status, answer = await read_answer(reader)
        assert (status, "content-length" in orjson.loads(answer)["error"]) == (400, True)
        writer.close()


@pytest.mark.parametrize("ttl_s", [0, 60], ids=["uncached", "cached"])
async def test_a_request_leaves_nothing_for_the_garbage_collector(ttl_s: int) -> None:
    async with platform(ttl_s) as here:
        await here.infer(0, 0)
        with garbage() as left:
            for value in (1, 2, 2):
                await here.infer(value, 2)
        assert not OURS.intersection(left)
