import asyncio
from time import monotonic

import pytest

from cache.key import cache_key
from cache.settings import CacheSettings, open_cache
from gateway.balancer import Replica
from gateway.pipeline import Gateway
from gateway.routing import RouteTable, Target, build_table
from storage.views import ModelView
from tests.unit.gateway.models import model
from wire.errors import DeadlineExceeded, Overloaded
from wire.messages import InferRequest, InferResponse, RequestedOutput
from wire.tensors import Tensor, from_json


class FakeWorkers:
    """Answers what it is asked, once `let_go` is set; counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.abandoned = 0
        self.error: Exception | None = None
        self.encoded: tuple[bytes, int] | None = None
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
        return InferResponse(target.model, target.version, tuple(request.inputs), encoded=self.encoded)


class FakeMembership:
    def __init__(self, view: ModelView) -> None:
        here = (Replica.at("http://127.0.0.1:1"),)
        self.table: RouteTable = build_table([view], {version.id: here for version in view.versions})


def gateway(workers: FakeWorkers, view: ModelView | None = None) -> Gateway:
    view = view or model(1, 2, aliases={"stable": 1})
    return Gateway(FakeMembership(view), workers, open_cache(CacheSettings(redis_url=None)))


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


async def test_an_answer_is_kept_as_the_bytes_it_came_as_and_is_not_read_for_whom_it_was_computed() -> None:
    workers = FakeWorkers()
    text = b'{"outputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}'
    workers.encoded = text + bytes(tensor(7).data), len(text)  # not what the worker says that it has sent
    platform = gateway(workers)
    first, second = [await platform.infer(request()) for _ in range(2)]
    assert (first.cache, first.response.outputs) == ("miss", (tensor(1),))
    assert (second.cache, second.response.outputs) == ("hit", (tensor(7),))


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
    for asked, tenant in ((plain, ""), (outputs, ""), (parameters, ""), (plain, "tenant")):
        assert (await platform.infer(asked, tenant=tenant)).cache == "miss"
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


@pytest.mark.parametrize(
    "malformed", [b"", b"\x01", b"\xff\xff\xff\xffrest", b"\x02\0\0\0{}", b"\x02\0\0\0[]", b'\x0e\0\0\0{"outputs": 1}']
)
async def test_a_cached_answer_that_makes_no_sense_is_a_miss_and_is_replaced(malformed: bytes, valkey_url: str) -> None:
    """As another release with the same secret may have written it."""
    secret, workers = f"the secret of {malformed!r}", FakeWorkers()
    settings = CacheSettings(redis_url=valkey_url, secret=secret, redis_timeout_ms=30_000)
    asked = request()
    key = cache_key("", "digest-1", asked.inputs, [], {})
    writer = open_cache(settings)
    await writer.fetch_or_compute(key, 60, lambda: asyncio.sleep(0, malformed))
    await writer.close()
    platform = Gateway(FakeMembership(model(1, aliases={"stable": 1})), workers, open_cache(settings))
    answers = await asyncio.gather(*[platform.infer(request()) for _ in range(10)])
    assert {answer.cache for answer in answers} == {"miss"}
    assert (await platform.infer(request())).cache == "hit"
    await platform.cache.close()
    other = Gateway(FakeMembership(model(1, aliases={"stable": 1})), workers, open_cache(settings))
    assert (await other.infer(request())).cache == "hit"
    assert workers.calls == 1
    await other.cache.close()


async def test_answers_are_counted_by_what_the_cache_had_to_do_with_them() -> None:
    workers = FakeWorkers()
    platform = gateway(workers)

    def counted() -> list[int]:
        found = platform.counts["m", "1"]
        return [found.hits.count, found.misses.count, found.shared.count]

    workers.let_go.clear()
    asking = [asyncio.create_task(platform.infer(request())) for _ in range(5)]
    await asyncio.sleep(0)
    workers.let_go.set()
    await asyncio.gather(*asking)
    assert counted() == [0, 1, 4], "one computed, and four waited for it"
    for _ in range(3):
        await platform.infer(request())
    assert counted() == [3, 1, 4]
    await platform.infer(request(), no_cache=True)
    assert counted() == [3, 1, 4], "nobody looked"
    workers.error = Overloaded()
    with pytest.raises(Overloaded):
        await platform.infer(request(9))
    assert counted() == [3, 1, 4], "a failure is no answer"
    await platform.infer(request(version="1"))
    assert counted() == [4, 1, 4], "an alias and a number lead to one version"
    assert platform.counts["m", "1"].hits.seconds > 0
