import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.balancer import Replica
from gateway.gather import Gatherer
from gateway.routing import Target, build_table
from model_service.protocol.errors import EngineFailed, Overloaded, ServingError
from model_service.protocol.messages import InferRequest, InferResponse, RequestedOutput
from model_service.protocol.tensors import Tensor, bytes_tensor, from_json
from tests.unit.gateway.models import model

HERE = (Replica.at("http://127.0.0.1:1"),)


def target(slots: int = 1, max_rows: int = 8) -> Target:
    found = build_table([model(1, aliases={"stable": 1})], {1: HERE}).resolve("m", None)
    return replace(found, slots=slots, max_rows=max_rows)


class Echo:
    """Answers inputs as outputs, one request at a time as the test lets them go; refuses rows that hold `poison`."""

    def __init__(self, poison: float | None = None, error: Callable[[], ServingError] = EngineFailed) -> None:
        self.asked: list[InferRequest] = []
        self.abandoned = 0
        self.places = asyncio.Semaphore(0)
        self._poison = poison
        self._error = error

    async def infer(self, target: Target, request: InferRequest) -> InferResponse:
        self.asked.append(request)
        try:
            await self.places.acquire()
        except asyncio.CancelledError:
            self.abandoned += 1
            raise
        if self._poison is not None and row(self._poison).data in request.inputs[0].data:
            raise self._error()
        return InferResponse("m", "1", tuple(request.inputs))

    def let_go(self) -> None:
        for _ in range(100):
            self.places.release()

    @property
    def rows(self) -> list[int]:
        return [request.inputs[0].rows for request in self.asked]


def row(*values: float) -> Tensor:
    return from_json("x", "FP32", (len(values), 1), list(values))


def request(*values: float, deadline: float | None = None) -> InferRequest:
    return InferRequest("m", None, [row(*values)], deadline=deadline)


async def ask(
    gatherer: Gatherer, *requests: InferRequest, at: Target | None = None
) -> list[asyncio.Task[InferResponse]]:
    tasks = [asyncio.create_task(gatherer.infer(at or target(), each)) for each in requests]
    await asyncio.sleep(0)
    return tasks


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_request_leaves_at_once_while_there_is_a_free_slot() -> None:
    workers = Echo()
    await ask(Gatherer(workers), request(1), request(2), request(3), at=target(slots=2))
    assert workers.rows == [1, 1]


async def test_what_comes_meanwhile_leaves_together_and_everybody_gets_their_own_rows() -> None:
    workers = Echo()
    gatherer = Gatherer(workers)
    tasks = await ask(gatherer, request(0), request(1), request(2, 3), request(4))
    workers.let_go()
    answers = await asyncio.gather(*tasks)
    assert workers.rows == [1, 4]
    assert gatherer.gathered == 3
    assert [answer.outputs for answer in answers] == [(row(0),), (row(1),), (row(2, 3),), (row(4),)]


async def test_no_more_rows_than_a_batch_leave_together() -> None:
    workers = Echo()
    tasks = await ask(Gatherer(workers), *(request(n, n) for n in range(7)), at=target(max_rows=5))
    workers.let_go()
    await asyncio.gather(*tasks)
    assert workers.rows == [2, 4, 4, 4]


async def test_large_requests_do_not_become_one_that_is_too_large() -> None:
    echo = Echo()
    gatherer = Gatherer(echo)
    many = [Tensor("x", "FP32", (1, 100_000), bytes(400_000)) for _ in range(4)]
    tasks = await ask(gatherer, *[InferRequest("m", None, [tensor]) for tensor in many])
    echo.let_go()
    assert [(await task).outputs for task in tasks] == [(tensor,) for tensor in many]
    assert echo.rows == [1, 2, 1]


async def test_bytes_are_cut_where_their_elements_end() -> None:
    workers = Echo()
    texts = [[b"a"], [b"bc", b""], [b"def"]]
    requests = [InferRequest("m", None, [bytes_tensor("x", each)]) for each in texts]
    tasks = await ask(Gatherer(workers), request(0), *requests, at=target())
    lone, *rest = tasks
    first = await ask(Gatherer(workers), *requests)
    workers.let_go()
    await lone
    answers = await asyncio.gather(*rest, *first)
    assert [answer.outputs[0].elements() for answer in answers] == texts * 2


async def test_other_shapes_outputs_and_versions_do_not_mix() -> None:
    workers = Echo()
    gatherer = Gatherer(workers)
    wide = InferRequest("m", None, [from_json("x", "FP32", (1, 2), [1, 2])])
    chosen = InferRequest("m", None, [row(1)], (RequestedOutput("x"),))
    tasks = await ask(gatherer, request(0), wide, chosen)
    tasks += await ask(gatherer, request(0), at=replace(target(), version="2"))
    assert workers.rows == [1, 1, 1, 1]
    workers.let_go()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    "lone",
    [
        InferRequest("m", None, [row(1)], parameters={"top_k": 1}),
        InferRequest("m", None, [row(1), from_json("y", "FP32", (2, 1), [1, 2])]),
        InferRequest("m", None, [from_json("x", "FP32", (), [1])]),
        InferRequest("m", None, [row(*range(8))]),
    ],
)
async def test_what_cannot_share_a_request_goes_alone_at_once(lone: InferRequest) -> None:
    workers = Echo()
    gatherer = Gatherer(workers)
    await ask(gatherer, request(0), lone, lone)
    assert workers.asked[1:] == [lone, lone]


async def test_one_bad_row_fails_alone() -> None:
    workers = Echo(poison=2)
    tasks = await ask(Gatherer(workers), request(0), request(1), request(2), request(3))
    workers.let_go()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers.pop(2), EngineFailed)
    assert [answer.outputs for answer in answers if isinstance(answer, InferResponse)] == [(row(n),) for n in (0, 1, 3)]


async def test_a_full_worker_refuses_all_and_is_not_asked_again() -> None:
    workers = Echo(poison=2, error=Overloaded)
    tasks = await ask(Gatherer(workers), request(0), request(1), request(2))
    workers.let_go()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [InferResponse, Overloaded, Overloaded]
    assert workers.rows == [1, 2]


async def test_who_gave_up_while_waiting_is_left_behind() -> None:
    workers = Echo()
    tasks = await ask(Gatherer(workers), request(0), request(1), request(2), request(3))
    tasks[2].cancel()
    await turns()
    workers.let_go()
    await asyncio.gather(tasks[0], tasks[1], tasks[3])
    assert workers.rows == [1, 2]


async def test_work_under_way_is_abandoned_once_nobody_waits_for_it_and_its_place_is_free_again() -> None:
    workers = Echo()
    gatherer = Gatherer(workers)
    first, *rest = await ask(gatherer, request(0), request(1), request(2))
    workers.places.release()
    await first
    await turns()
    assert workers.rows == [1, 2]
    rest[0].cancel()
    await turns()
    assert workers.abandoned == 0
    rest[1].cancel()
    await turns()
    assert workers.abandoned == 1
    (again,) = await ask(gatherer, request(5))
    workers.let_go()
    assert (await again).outputs == (row(5),)


async def test_the_worker_may_work_until_the_last_deadline() -> None:
    workers = Echo()
    tasks = await ask(Gatherer(workers), request(0), request(1, deadline=50.0), request(2, deadline=70.0))
    workers.let_go()
    await asyncio.gather(*tasks)
    assert workers.asked[1].deadline == 70.0
