import asyncio
from time import monotonic

import pytest

from cache.settings import CacheSettings, open_cache
from gateway.balancer import Replica
from gateway.pipeline import Gateway
from gateway.routing import RouteTable, Target, build_table
from model_service.protocol.errors import DeadlineExceeded, Overloaded
from model_service.protocol.messages import InferRequest, InferResponse, RequestedOutput
from model_service.protocol.tensors import Tensor, from_json
from storage.views import ModelView
from tests.unit.gateway.models import model


class FakeWorkers:
    """Answers what it is asked, once `let_go` is set; counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.abandoned = 0
        self.error: Exception | None = None
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def infer(self, target: Target, request: InferRequest) -> InferResponse:
        self.calls += 1
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.abandoned += 1
            raise
        if self.error is not None:
            raise self.error
        return InferResponse(target.model, target.version, tuple(request.inputs))


class FakeRoutes:
    def __init__(self, view: ModelView) -> None:
        here = (Replica.at("http://127.0.0.1:1"),)
        self.table: RouteTable = build_table([view], {version.id: here for version in view.versions})


def gateway(workers: FakeWorkers, view: ModelView | None = None) -> Gateway:
    view = view or model(1, 2, aliases={"stable": 1})
    return Gateway(FakeRoutes(view), workers, open_cache(CacheSettings(redis_url=None)))


def tensor(value: float = 1) -> Tensor:
    return from_json("x", "FP32", (1, 2), [value, 2])


def request(value: float = 1, version: str | None = None, seconds: float = 30) -> InferRequest:
    return InferRequest("m", version, [tensor(value)], deadline=monotonic() + seconds)


async def test_an_equal_request_is_answered_from_the_cache() -> None:
    workers = FakeWorkers()
    platform = gateway(workers)
    first, second, other = [await platform.infer(request(value)) for value in (1, 1, 3)]
    assert (first.cache, second.cache, other.cache) == ("miss", "hit", "miss")
    assert first.response == second.response == InferResponse("m", "1", (tensor(),))
    assert other.response.outputs == (tensor(3),)
    assert workers.calls == 2


async def test_another_version_never_meets_the_old_answer() -> None:
    workers = FakeWorkers()
    platform = gateway(workers)
    answers = [await platform.infer(request(version=version)) for version in ("1", "2")]
    assert [(answer.cache, answer.response.version) for answer in answers] == [("miss", "1"), ("miss", "2")]


async def test_other_outputs_parameters_and_tenants_are_other_answers() -> None:
    workers = FakeWorkers()
    platform = gateway(workers)
    plain, outputs, parameters = request(), request(), request()
    outputs.outputs = (RequestedOutput("x"),)
    parameters.parameters = {"top_k": 1}
    for asked, scope in ((plain, ""), (outputs, ""), (parameters, ""), (plain, "tenant")):
        assert (await platform.infer(asked, scope=scope)).cache == "miss"
    assert workers.calls == 4


async def test_no_cache_asks_the_worker_every_time() -> None:
    workers = FakeWorkers()
    platform = gateway(workers)
    assert [(await platform.infer(request(), no_cache=True)).cache for _ in range(2)] == ["bypass", "bypass"]
    assert workers.calls == 2


async def test_equal_requests_at_once_are_computed_once() -> None:
    workers = FakeWorkers()
    workers.let_go.clear()
    platform = gateway(workers)
    tasks = [asyncio.create_task(platform.infer(request())) for _ in range(5)]
    await asyncio.sleep(0)
    workers.let_go.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.response for answer in answers] == 5 * [InferResponse("m", "1", (tensor(),))]
    assert workers.calls == 1


async def test_an_error_is_not_cached() -> None:
    workers = FakeWorkers()
    workers.error = Overloaded("full")
    platform = gateway(workers)
    with pytest.raises(Overloaded):
        await platform.infer(request())
    workers.error = None
    assert (await platform.infer(request())).cache == "miss"


@pytest.mark.parametrize("no_cache", [True, False])
async def test_work_that_nobody_waits_for_is_abandoned(no_cache: bool) -> None:
    workers = FakeWorkers()
    workers.let_go.clear()
    asking = asyncio.create_task(gateway(workers).infer(request(), no_cache=no_cache))
    while not workers.calls:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0)
    assert workers.abandoned == 1


async def test_a_request_outlives_the_deadline_of_the_one_it_joined() -> None:
    class DropsTheImpatient(FakeWorkers):
        async def infer(self, target: Target, request: InferRequest) -> InferResponse:
            reply = await super().infer(target, request)
            if request.deadline == impatient.deadline:
                raise DeadlineExceeded
            return reply

    workers = DropsTheImpatient()
    workers.let_go.clear()
    platform = gateway(workers)
    impatient = request(seconds=0.2)
    first = asyncio.create_task(platform.infer(impatient))
    second = asyncio.create_task(platform.infer(request(seconds=30)))
    await asyncio.sleep(0.01)
    assert workers.calls == 1
    while impatient.deadline is not None and monotonic() < impatient.deadline:
        await asyncio.sleep(0.01)
    workers.let_go.set()
    assert (await second).response.outputs == (tensor(),)
    with pytest.raises(DeadlineExceeded):
        await first
