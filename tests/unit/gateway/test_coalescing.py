import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.balancer import Replica
from gateway.coalescing import Coalescer
from gateway.routing import Target, build_table
from tests.unit.gateway.models import model
from wire.errors import CrashingInput, EngineFailed, Overloaded, ServingError
from wire.messages import InferRequest, InferResponse, RequestedOutput
from wire.tensors import Tensor, bytes_tensor, from_json

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
        self.took_s: float | None = None
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
        return InferResponse("m", "1", tuple(request.inputs), took_s=self.took_s)

    def let_go(self) -> None:
        for _ in range(100):
            self.places.release()

    @property
    def rows(self) -> list[int]:
        return [request.inputs[0].rows for request in self.asked]


def coalescing(workers: Echo, slow_s: float = 60.0) -> Coalescer:
    """However slow this machine is, none of the answers is."""
    return Coalescer(workers, slow_s=slow_s)


def row(*values: float) -> Tensor:
    return from_json("x", "FP32", (len(values), 1), list(values))


def request(*values: float, deadline: float | None = None) -> InferRequest:
    return InferRequest("m", None, [row(*values)], deadline=deadline)


async def ask(
    coalescer: Coalescer, *requests: InferRequest, at: Target | None = None
) -> list[asyncio.Task[InferResponse]]:
    tasks = []
    for each in requests:  # one after the other: those of one turn of the loop would leave together
        tasks.append(asyncio.create_task(coalescer.infer(at or target(), each)))
        await turns()
    return tasks


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_request_leaves_at_once_while_there_is_a_free_slot() -> None:
    workers = Echo()
    await ask(coalescing(workers), request(1), request(2), request(3), at=target(slots=2))
    assert workers.rows == [1, 1]


async def test_what_comes_in_one_turn_of_the_loop_leaves_together_though_there_are_slots_for_each() -> None:
    workers = Echo()
    coalescer = coalescing(workers)
    for value in range(11):
        asyncio.create_task(coalescer.infer(target(slots=4), request(value)))  # noqa: RUF006
    await turns()
    assert workers.rows == [8, 3]


async def test_what_comes_meanwhile_leaves_together_and_everybody_gets_their_own_rows() -> None:
    workers = Echo()
    coalescer = coalescing(workers)
    tasks = await ask(coalescer, request(0), request(1), request(2, 3), request(4))
    workers.let_go()
    answers = await asyncio.gather(*tasks)
    assert workers.rows == [1, 4]
    assert coalescer.coalesced == 3
    assert [asked.members for asked in workers.asked] == [1, 3], "which the worker counts"
    assert [answer.outputs for answer in answers] == [(row(0),), (row(1),), (row(2, 3),), (row(4),)]


async def test_no_more_rows_than_a_batch_leave_together() -> None:
    workers = Echo()
    tasks = await ask(coalescing(workers), *(request(n, n) for n in range(7)), at=target(max_rows=5))
    workers.let_go()
    await asyncio.gather(*tasks)
    assert workers.rows == [2, 4, 4, 4]


async def test_large_requests_do_not_become_one_that_is_too_large() -> None:
    echo = Echo()
    coalescer = Coalescer(echo)
    many = [Tensor("x", "FP32", (1, 100_000), bytes(400_000)) for _ in range(4)]
    tasks = await ask(coalescer, *[InferRequest("m", None, [tensor]) for tensor in many])
    echo.let_go()
    assert [(await task).outputs for task in tasks] == [(tensor,) for tensor in many]
    assert echo.rows == [1, 2, 1]


async def test_bytes_are_cut_where_their_elements_end() -> None:
    workers = Echo()
    texts = [[b"a"], [b"bc", b""], [b"def"]]
    requests = [InferRequest("m", None, [bytes_tensor("x", each)]) for each in texts]
    tasks = await ask(coalescing(workers), request(0), *requests, at=target())
    lone, *rest = tasks
    first = await ask(coalescing(workers), *requests)
    workers.let_go()
    await lone
    answers = await asyncio.gather(*rest, *first)
    assert [answer.outputs[0].elements() for answer in answers] == texts * 2


async def test_other_shapes_outputs_and_versions_do_not_mix() -> None:
    workers = Echo()
    coalescer = coalescing(workers)
    wide = InferRequest("m", None, [from_json("x", "FP32", (1, 2), [1, 2])])
    chosen = InferRequest("m", None, [row(1)], (RequestedOutput("x"),))
    tasks = await ask(coalescer, request(0), wide, chosen)
    tasks += await ask(coalescer, request(0), at=replace(target(), version="2"))
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
    coalescer = coalescing(workers)
    await ask(coalescer, request(0), lone, lone)
    assert workers.asked[1:] == [lone, lone]


async def test_one_bad_row_fails_alone() -> None:
    workers = Echo(poison=2)
    tasks = await ask(coalescing(workers), request(0), request(1), request(2), request(3))
    workers.let_go()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers.pop(2), EngineFailed)
    assert [answer.outputs for answer in answers if isinstance(answer, InferResponse)] == [(row(n),) for n in (0, 1, 3)]


async def test_a_full_worker_refuses_all_and_is_not_asked_again() -> None:
    workers = Echo(poison=2, error=Overloaded)
    tasks = await ask(coalescing(workers), request(0), request(1), request(2))
    workers.let_go()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [InferResponse, Overloaded, Overloaded]
    assert workers.rows == [1, 2]


async def test_who_gave_up_while_waiting_is_left_behind() -> None:
    workers = Echo()
    tasks = await ask(coalescing(workers), request(0), request(1), request(2), request(3))
    tasks[2].cancel()
    await turns()
    workers.let_go()
    await asyncio.gather(tasks[0], tasks[1], tasks[3])
    assert workers.rows == [1, 2]


async def test_work_under_way_is_abandoned_once_nobody_waits_for_it_and_its_place_is_free_again() -> None:
    workers = Echo()
    coalescer = coalescing(workers)
    first, *rest = await ask(coalescer, request(0), request(1), request(2))
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
    (again,) = await ask(coalescer, request(5))
    workers.let_go()
    assert (await again).outputs == (row(5),)


async def test_the_worker_may_work_until_the_last_deadline() -> None:
    workers = Echo()
    tasks = await ask(coalescing(workers), request(0), request(1, deadline=50.0), request(2, deadline=70.0))
    workers.let_go()
    await asyncio.gather(*tasks)
    assert workers.asked[1].deadline == 70.0


async def test_where_a_group_crashed_the_model_each_is_a_suspect_of_its_own() -> None:
    workers = Echo(poison=7, error=CrashingInput)
    coalescer = coalescing(workers)
    tasks = await ask(coalescer, *(request(value) for value in (1, 2, 7, 3)))
    workers.let_go()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, CrashingInput) for answer in answers] == [False, False, True, False]
    alone = [asked for asked in workers.asked if asked.suspect]
    assert [asked.inputs[0].rows for asked in alone] == [1, 1, 1]


async def test_what_is_under_way_on_a_worker_that_is_ill_keeps_nobody_waiting() -> None:
    workers = Echo()
    coalescer = coalescing(workers)
    two = tuple(Replica.at(f"http://127.0.0.1:{port}") for port in (1, 2))
    there = replace(target(), replicas=two)
    await ask(coalescer, request(1), request(2), request(3), at=there)
    assert workers.rows == [1, 1]
    two[0].healthy = False
    assert there.capacity() == 1


class Told:
    """Stands where a future would."""

    def __init__(self) -> None:
        self.outcome: object = None

    def done(self) -> bool:
        return self.outcome is not None

    def set_result(self, response: InferResponse) -> None:
        self.outcome = response

    def set_exception(self, error: Exception) -> None:
        self.outcome = error


async def test_of_a_group_that_is_asked_one_by_one_the_last_that_leaves_ends_it() -> None:
    workers = Echo(poison=2)
    coalescer, at = coalescing(workers), target()
    told = [Told() for _ in range(3)]
    members = [coalescer.join(at, request(value), one) for value, one in zip((2, 3, 4), told, strict=True)]
    await turns()
    workers.places.release()  # the three together, which fail
    await turns()
    assert workers.rows == [3, 1, 1, 1]
    for _ in range(2):
        workers.places.release()
    await turns()
    assert [one.done() for one in told] == [True, True, False]
    assert members[2] is not None
    told[2].outcome = "gone"
    members[2].leave()
    await turns()
    assert workers.abandoned == 1


async def test_where_a_model_is_slow_one_request_more_stands_ready_at_its_worker() -> None:
    workers = Echo()
    coalescer = coalescing(workers, slow_s=0.0)
    first = await ask(coalescer, request(1), request(2))
    assert workers.rows == [1]
    workers.places.release()
    await turns()
    assert [one.done() for one in first] == [True, False]
    await ask(coalescer, request(3), request(4))
    assert workers.rows == [1, 1, 1], "one runs, one stands ready, and the fourth waits"


@pytest.mark.parametrize(("worker_s", "waits"), [(0.0001, True), (0.01, False), (None, False)])
async def test_where_many_ask_and_workers_are_quicker_than_the_gateway_the_next_group_waits_for_the_one_before(
    worker_s: float | None, waits: bool
) -> None:
    workers, there = Echo(), target(slots=4)
    coalescer = coalescing(workers)
    workers.took_s = worker_s
    for _ in range(150):
        group = [asyncio.create_task(coalescer.infer(there, request(value))) for value in range(5)]
        workers.let_go()
        await asyncio.gather(*group)
    workers.places = asyncio.Semaphore(0)
    workers.asked.clear()
    await ask(coalescer, *[request(value) for value in range(8)], at=there)
    assert workers.rows == ([1] if waits else [1, 1, 1, 1])
    await ask(coalescer, request(8), at=there)
    assert workers.rows[1:] == ([8] if waits else [1, 1, 1]), "a full batch waits for nobody"
