from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest

from gateway.balancer import Balancer, Replica
from gateway.routing import Target
from gateway.worker_client import WorkerClient
from gateway.workers import Workers
from model_service.protocol.codec import decode_request, encode_response
from model_service.protocol.errors import DeadlineExceeded, Overloaded, ServingError, WorkerUnavailable
from model_service.protocol.messages import InferRequest, InferResponse
from model_service.protocol.status import http_status
from model_service.protocol.tensors import from_json
from tests.unit.gateway.conftest import Start
from tests.unit.gateway.models import manifest
from tests.unit.gateway.test_worker_client import read_request

Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]


def target(*urls: str) -> Target:
    replicas = tuple(map(Replica.at, urls))
    return Target("m", "1", "d", manifest(), 0, replicas, b"/v2/models/m/versions/1/infer", True, 32, 2)


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
