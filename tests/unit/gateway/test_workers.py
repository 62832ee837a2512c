import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import monotonic

import pytest

from gateway.balancer import Balancer, Replica
from gateway.merge import merge
from gateway.pace import ENOUGH, FACTOR, FLOOR_S, PER_ANSWER, Pace
from gateway.routing import Target
from gateway.worker_client import WorkerClient
from gateway.workers import Workers
from tests.spans import Recording
from tests.unit.gateway.conftest import Start
from tests.unit.gateway.models import manifest
from tests.unit.gateway.test_worker_client import read_request
from wire.codec import decode_request, encode_response
from wire.errors import (
    CrashingInput,
    DeadlineExceeded,
    ModelNotReady,
    Overloaded,
    ServingError,
    WorkerUnavailable,
)
from wire.messages import InferRequest, InferResponse
from wire.refusals import Refusals
from wire.status import http_status
from wire.tasks.table import task_named
from wire.tensors import from_json

Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]


def target(*urls: str) -> Target:
    replicas = tuple(map(Replica.at, urls))
    return Target(
        "m",
        "1",
        "d",
        manifest(),
        0,
        replicas,
        b"/v2/models/m/versions/1/infer",
        True,
        32,
        2,
        Refusals(),
        task_named("tensors"),
    )


def request(deadline: float | None = None) -> InferRequest:
    return InferRequest("m", None, [from_json("x", "FP32", (1, 2), [1, 2])], deadline=deadline)


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    """A worker of a model that answers its inputs."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        sizes = dict(line.split(b": ") for line in head.split(b"\r\n")[1:-2])
        body = await reader.readexactly(int(sizes[b"content-length"]))
        asked = decode_request(body, int(sizes[b"inference-header-content-length"]), "m", None)
        answer, length = encode_response(InferResponse("m", "1", tuple(asked.inputs)), asked)
        lines = b"inference-header-content-length: %d\r\ncontent-length: %d" % (length or 0, len(answer))
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (lines, answer))


async def hang_up(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)


def refusing(answer: bytes) -> Serve:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(answer)

    return serve


async def test_a_broken_connection_is_retried_once_on_another_replica(start: Start) -> None:
    broken, well = await start(hang_up), await start(echo)
    workers = Workers(WorkerClient(), Balancer())
    there = target(broken, well)
    there.replicas[1].outstanding = 1  # so that the broken one is asked first
    assert (await workers.infer(there, request())).outputs == tuple(request().inputs)
    assert workers.stats.retries == workers.stats.connection_failures == 1
    assert not there.replicas[0].available(monotonic())
    assert [replica.outstanding for replica in there.replicas] == [0, 1]


async def test_after_two_broken_connections_the_request_fails(start: Start) -> None:
    workers = Workers(WorkerClient(), Balancer())
    with pytest.raises(WorkerUnavailable) as caught:
        await workers.infer(target(await start(hang_up), await start(hang_up)), request())
    assert caught.value.retry_after is not None
    assert workers.stats.connection_failures == 2


async def test_behind_a_load_balancer_nothing_is_retried(start: Start) -> None:
    workers = Workers(WorkerClient(), Balancer(), upstream=True)
    with pytest.raises(WorkerUnavailable):
        await workers.infer(target(await start(hang_up)), request())
    assert workers.stats.retries == 0


@pytest.mark.parametrize("upstream", [False, True])
async def test_only_a_load_balancer_is_told_the_deadline_in_its_own_words(start: Start, upstream: bool) -> None:
    heads: list[bytes] = []

    async def listen(reader: StreamReader, writer: StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))

    workers = Workers(WorkerClient(), Balancer(), upstream=upstream)
    with pytest.raises(WorkerUnavailable):
        await workers.infer(target(await start(listen)), request(monotonic() + 60))
    assert all(b"x-request-timeout-ms: " in head for head in heads)
    assert [b"x-envoy-upstream-rq-timeout-ms: " in head for head in heads] == [upstream] * len(heads)


async def test_a_workers_error_is_passed_on_as_what_it_was_and_not_retried(start: Start) -> None:
    answer = (
        b'HTTP/1.1 503 X\r\nheadrace-error: Overloaded\r\nretry-after: 3\r\ncontent-length: 16\r\n\r\n{"error":"full"}'
    )
    workers = Workers(WorkerClient(), Balancer())
    there = target(await start(refusing(answer)), await start(echo))
    there.replicas[1].outstanding = 1  # so that the full one is asked
    with pytest.raises(Overloaded, match="full") as caught:
        await workers.infer(there, request())
    assert caught.value.retry_after == 3
    assert workers.stats.retries == 0


async def test_an_error_that_is_not_ours_is_still_an_error(start: Start) -> None:
    answer = b"HTTP/1.1 502 X\r\ncontent-length: 3\r\n\r\n<p>"
    with pytest.raises(ServingError, match="502"):
        await Workers(WorkerClient(), Balancer()).infer(target(await start(refusing(answer))), request())


async def test_an_answer_that_makes_no_sense_is_not_the_clients_fault(start: Start) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n<p>"
    with pytest.raises(ServingError, match="makes no sense") as caught:
        await Workers(WorkerClient(), Balancer()).infer(target(await start(refusing(answer))), request())
    assert http_status(caught.value) == 500


async def test_a_request_past_its_deadline_is_not_sent(start: Start) -> None:
    with pytest.raises(DeadlineExceeded):
        await Workers(WorkerClient(), Balancer()).infer(target(await start(echo)), request(monotonic() - 1))


async def test_the_worker_is_told_how_long_is_left(start: Start) -> None:
    heads = []

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"outputs":[]}')

    await Workers(WorkerClient(), Balancer()).infer(target(await start(serve)), request(monotonic() + 5))
    left = int(heads[0].split(b"x-request-timeout-ms: ")[1].split(b"\r\n")[0])
    assert 0 < left <= 5000


NOT_LOADED = b'HTTP/1.1 404 X\r\nheadrace-error: ModelNotFound\r\ncontent-length: 16\r\n\r\n{"error":"none"}'


async def silence(reader: StreamReader, writer: StreamWriter) -> None:
    """A worker that was stopped: its kernel takes everything, and nobody answers."""
    while True:
        await read_request(reader)


async def warmed_up(start: Start, *serving: Serve) -> tuple[Workers, Target]:
    """Workers that have seen how long the model takes; the first of the replicas is asked next."""
    workers, well = Workers(WorkerClient(), Balancer()), target(await start(echo))
    for _ in range(30):
        await workers.infer(well, request())
    there = target(*[await start(serve) for serve in serving])
    for load, replica in enumerate(there.replicas):
        replica.outstanding = load
    return workers, there


async def test_a_replica_that_is_silent_for_longer_than_the_model_takes_is_given_up(start: Start) -> None:
    workers, there = await warmed_up(start, silence, echo)
    async with asyncio.timeout(30):
        assert (await workers.infer(there, request())).outputs == tuple(request().inputs)
    assert workers.stats.stalled == 1
    assert not there.replicas[0].available(monotonic())


async def test_a_replica_that_says_that_it_takes_longer_is_waited_for(start: Start) -> None:
    asked: list[bytes] = []

    async def take_longer(reader: StreamReader, writer: StreamWriter) -> None:
        asked.append(await read_request(reader))
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(1)
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"outputs":[]}')

    workers, there = await warmed_up(start, take_longer, echo)
    usual_s = workers._paces[there.digest].limit_s(1)
    assert (await workers.infer(there, request())).outputs == ()
    assert len(asked) == 1
    assert workers.stats.stalled == 0
    assert workers._paces[there.digest].limit_s(1) == usual_s  # it says nothing of how long the model takes


@pytest.mark.parametrize("other", ["dead", "not loaded", "hangs up"])
async def test_a_silent_replica_is_asked_again_where_the_other_one_cannot_answer(start: Start, other: str) -> None:
    asked: list[bytes] = []

    async def silent_once(reader: StreamReader, writer: StreamWriter) -> None:
        if asked:
            await echo(reader, writer)
        asked.append(await read_request(reader))
        await reader.read()

    serve = {"dead": echo, "not loaded": refusing(NOT_LOADED), "hangs up": hang_up}[other]
    workers, there = await warmed_up(start, silent_once, serve)
    if other == "dead":
        there = replace(there, replicas=(there.replicas[0], Replica.at("http://127.0.0.1:1")))
        there.replicas[1].outstanding = 1
    async with asyncio.timeout(30):
        assert (await workers.infer(there, request())).outputs == tuple(request().inputs)
    assert len(asked) == 1
    assert workers.stats.stalled == 1
    assert workers.stats.retries == 2


async def test_where_there_is_no_other_replica_a_silent_one_is_waited_for(start: Start) -> None:
    workers, there = await warmed_up(start, silence)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await workers.infer(there, request())
    assert workers.stats.stalled == 0


def test_slowness_alone_does_not_double_the_load() -> None:
    pace = Pace()
    for _ in range(ENOUGH):
        pace.record_answer(0.01, 1)
    while pace.limit_s(1) is not None:
        pace.record_stall()
    for _ in range(round(1 / PER_ANSWER)):
        pace.record_answer(0.01, 1)
    assert pace.limit_s(1) is not None


@pytest.mark.parametrize(
    ("seconds", "worker_s", "quick"),
    [(0.001, None, True), (0.002, None, False), (0.01, 0.001, True), (0.01, 0.002, False)],
)
def test_workers_are_quick_by_what_they_say_and_else_by_how_long_they_were_waited_for(
    seconds: float, worker_s: float | None, quick: bool
) -> None:
    pace = Pace()
    for number in range(ENOUGH):
        assert not pace.is_quick, f"{number} answers are too few to say so"
        pace.record_answer(seconds, 1, worker_s)
    assert pace.is_quick == quick


@pytest.mark.parametrize(("took_us", "asked_both"), [(500, False), (5000, True)])
async def test_where_workers_are_quick_the_same_one_is_asked_while_no_other_has_less_to_do(
    start: Start, took_us: int, asked_both: bool
) -> None:
    asked: list[int] = []

    def worker(number: int) -> Serve:
        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            while True:
                await read_request(reader)
                asked.append(number)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nheadrace-took-us: %d\r\ncontent-length: 14\r\n\r\n" % took_us
                    + b'{"outputs":[]}'
                )

        return serve

    workers, there = Workers(WorkerClient(), Balancer()), target(await start(worker(0)), await start(worker(1)))
    for _ in range(ENOUGH + 10):
        await workers.infer(there, request())
    assert set(asked[:ENOUGH]) == {0, 1}
    assert (len(set(asked[-10:])) == 2) == asked_both


def test_a_request_of_many_rows_may_take_as_much_longer() -> None:
    pace = Pace()
    for _ in range(ENOUGH):
        pace.record_answer(0.1, 1)
    one, thousand = pace.limit_s(1), pace.limit_s(1000)
    assert one is not None
    assert thousand is not None
    assert thousand > 100


def test_a_group_as_large_as_those_before_it_may_take_as_long_as_they_did() -> None:
    pace = Pace()
    for _ in range(ENOUGH):
        pace.record_answer(0.1, 16)
    assert pace.limit_s(16) == pace.limit_s(1) == FLOOR_S + FACTOR * 0.1
    assert pace.limit_s(32) == FLOOR_S + 2 * FACTOR * 0.1


async def test_what_one_replica_has_not_loaded_another_is_asked_for(start: Start) -> None:
    workers = Workers(WorkerClient(), Balancer())
    there = target(await start(refusing(NOT_LOADED)), await start(echo))
    there.replicas[1].outstanding = 1
    assert (await workers.infer(there, request())).outputs == tuple(request().inputs)
    assert there.replicas[0].available(monotonic())


async def test_what_one_replica_has_lost_another_is_asked_for(start: Start) -> None:
    lost = b'HTTP/1.1 503 X\r\nheadrace-error: ModelNotReady\r\ncontent-length: 16\r\n\r\n{"error":"lost"}'
    there = target(await start(refusing(lost)), await start(echo))
    there.replicas[1].outstanding = 1
    answer = await Workers(WorkerClient(), Balancer()).infer(there, request())
    assert answer.outputs == tuple(request().inputs)


async def test_a_suspect_that_could_not_be_asked_alone_is_asked_alone_elsewhere(start: Start) -> None:
    open_ = b'HTTP/1.1 500 X\r\nheadrace-error: Suspect\r\ncontent-length: 16\r\n\r\n{"error":"none"}'
    there = target(await start(refusing(open_)), await start(echo))
    there.replicas[1].outstanding = 1
    asked = request()
    assert (await Workers(WorkerClient(), Balancer()).infer(there, asked)).outputs == tuple(asked.inputs)
    assert asked.suspect


async def test_what_none_has_loaded_is_not_ready(start: Start) -> None:
    there = target(await start(refusing(NOT_LOADED)), await start(refusing(NOT_LOADED)))
    with pytest.raises(ModelNotReady) as caught:
        await Workers(WorkerClient(), Balancer()).infer(there, request())
    assert caught.value.retry_after is not None


async def test_only_what_was_under_way_when_its_worker_died_is_a_suspect(start: Start) -> None:
    heads: list[bytes] = []

    async def listen(reader: StreamReader, writer: StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        answer = b'{"outputs":[]}'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))

    async def ask(*first: str) -> bytes:
        there = target(*first, await start(listen))
        there.replicas[1].outstanding = 1
        await Workers(WorkerClient(), Balancer()).infer(there, request())
        return heads.pop()

    assert b"headrace-suspect" not in await ask(await start(hang_up))  # the connection broke, and the worker is there
    assert b"headrace-suspect" not in await ask("http://127.0.0.1:1")  # it has never got the request
    assert b"headrace-suspect: 1" in await ask(await start_and_die(start))


async def test_a_worker_is_told_how_many_requests_one_was_merged_of(start: Start) -> None:
    heads: list[bytes] = []

    async def listen(reader: StreamReader, writer: StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\nconnection: close\r\n\r\n{"outputs":[]}')
        writer.close()

    there, workers = target(await start(listen)), Workers(WorkerClient(), Balancer())
    for asked in (merge([request(), request()], 2), request()):
        await workers.infer(there, asked)
    merged, alone = heads
    assert b"headrace-members: 2\r\n" in merged
    assert b"headrace-members" not in alone


async def start_and_die(start: Start) -> str:
    """The address of a worker that takes one request and is gone."""
    server: asyncio.Server

    async def take(reader: StreamReader, writer: StreamWriter) -> None:
        await read_request(reader)
        server.close()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_input_that_crashed_a_worker_is_remembered(start: Start) -> None:
    answer = (
        b"HTTP/1.1 422 X\r\nheadrace-error: CrashingInput\r\nretry-after: 600\r\ncontent-length: 17\r\n\r\n"
        b'{"error":"fatal"}'
    )
    there = target(await start(refusing(answer)))
    with pytest.raises(CrashingInput, match="fatal"):
        await Workers(WorkerClient(), Balancer()).infer(there, request())
    with pytest.raises(CrashingInput, match="fatal"):
        there.refusals.check(request())


@pytest.mark.parametrize("workers_behind", [1, 2])
async def test_a_load_balancer_is_told_how_long_a_try_may_take(start: Start, workers_behind: int) -> None:
    heads: list[bytes] = []

    async def listen(reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            length = int(heads[-1].split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"outputs":[]}')

    there = target(await start(listen))
    there.replicas[0].workers = workers_behind
    workers = Workers(WorkerClient(), Balancer(), upstream=True)
    for _ in range(ENOUGH + 1):
        await workers.infer(there, request())
    told = [b"x-envoy-upstream-rq-per-try-timeout-ms: " in head for head in heads]
    assert told == [False] * ENOUGH + [workers_behind > 1]


@pytest.mark.parametrize("recorded", [False, True])
async def test_what_a_load_balancer_has_asked_another_worker_for_is_waited_for_and_says_nothing_of_the_model(
    start: Start, recorded: bool
) -> None:
    workers, well = Workers(WorkerClient(), Balancer(), upstream=True), target(await start(echo))
    for _ in range(30):
        await workers.infer(well, request())
    usual_s = workers._paces["d"].limit_s(1)
    assert usual_s is not None

    async def answer_late(reader: StreamReader, writer: StreamWriter) -> None:
        await asyncio.sleep(usual_s + 0.1)
        await echo(reader, writer)

    there = target(await start(answer_late))
    there.replicas[0].workers = 2
    asked = request()
    asked.span = Recording().tracer.request("POST /x", {}, monotonic()) if recorded else None
    assert (await workers.infer(there, asked)).outputs == tuple(request().inputs)
    assert workers.stats.stalled == 1
    assert workers._paces["d"].limit_s(1) == usual_s
