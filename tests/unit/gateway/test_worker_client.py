import asyncio
from asyncio import StreamReader, StreamWriter

import pytest

from gateway.balancer import Replica
from gateway.worker_client import WorkerClient
from service.http_client import ConnectionFailed, Stalled
from tests.unit.gateway.conftest import Start
from tests.unit.service.loop_turns import counting_turns


async def read_request(reader: StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return await reader.readexactly(length)


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    while True:
        body = await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX-Name: v\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


async def test_answers_come_back_whole_and_to_whom_they_belong(start: Start) -> None:
    client, replica = WorkerClient(), Replica.at(await start(echo))
    bodies = [bytes([n]) * (n * 10_000) for n in range(20)]
    replies = await asyncio.gather(
        *(client.request(replica, b"POST", b"/", b"", [body[:7], memoryview(body)[7:]]) for body in bodies)
    )
    assert [reply.body for reply in replies] == bodies
    assert {reply.status for reply in replies} == {200}
    assert replies[0].headers[b"x-name"] == b"v"
    client.close()


async def test_connections_are_kept_and_used_again(start: Start) -> None:
    connections = 0

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await echo(reader, writer)

    client, replica = WorkerClient(), Replica.at(await start(serve))
    for _ in range(5):
        await client.request(replica, b"POST", b"/", b"", [b"x"])
    assert connections == 1
    client.close()


async def test_a_chunked_answer_is_joined(start: Start) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        await reader.read()

    client = WorkerClient()
    reply = await client.request(Replica.at(await start(serve)), b"GET", b"/")
    assert reply.body == b"abc"
    client.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", b"SSH-2.0-OpenSSH\r\n\r\n"])
async def test_a_connection_that_breaks_says_so(start: Start, answer: bytes) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)

    with pytest.raises(ConnectionFailed):
        await WorkerClient().request(Replica.at(await start(serve)), b"GET", b"/")


async def test_nobody_listening_is_a_failed_connection() -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(ConnectionFailed):
        await WorkerClient().request(Replica.at(f"http://127.0.0.1:{port}"), b"GET", b"/")


async def test_a_kept_connection_that_the_worker_closed_is_not_used(start: Start) -> None:
    closed = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        body = await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        closed.set()

    client, replica = WorkerClient(), Replica.at(await start(serve))
    for body in (b"1", b"2"):
        closed.clear()
        assert (await client.request(replica, b"POST", b"/", b"", [body])).body == body
        await closed.wait()
        await asyncio.sleep(0.05)  # until the loop has read the end of the stream


async def test_an_abandoned_request_closes_its_connection(start: Start) -> None:
    arrived, hung_up = asyncio.Event(), asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        assert await reader.read() == b""
        hung_up.set()

    client, replica = WorkerClient(), Replica.at(await start(serve))
    task = asyncio.create_task(client.request(replica, b"GET", b"/"))
    await arrived.wait()
    task.cancel()
    await hung_up.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_hundreds_of_requests_to_a_silent_worker_are_given_up_a_few_in_a_turn_of_the_loop(start: Start) -> None:
    arrived, all_arrived = 0, asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal arrived
        await read_request(reader)
        arrived += 1
        if arrived == 90:
            all_arrived.set()
        await reader.read()

    client, replica = WorkerClient(), Replica.at(await start(serve))

    async def ask() -> None:
        with pytest.raises(Stalled):
            await client.request(replica, b"POST", b"/")
        turns.happened()

    with counting_turns() as turns:
        asking = [asyncio.create_task(ask()) for _ in range(90)]
        await all_arrived.wait()
        client.give_up(replica.url)
        await asyncio.gather(*asking)
    assert sum(turns.each) == 90
    assert max(turns.each) < 50
