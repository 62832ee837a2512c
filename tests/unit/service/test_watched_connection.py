"""A client that takes its time, or is refused: its connection is closed, and it can read why."""

import asyncio
import socket

import pytest

from service.answers import send_answer
from service.asgi import Receive, Scope, Send
from service.cancel_scope import CancelScope
from service.transport import CORK
from tests.unit.service.echo import LIMIT, echo, reading_until, serving
from tests.unit.service.raw_http import LAST, Answer, ask, read_answer, refused
from wire.errors import ClientGone


async def test_a_silent_connection_is_closed() -> None:
    async with serving(head_s=1) as port:
        assert await ask(port) == []


async def test_a_kept_connection_is_closed_once_nothing_more_comes() -> None:
    async with serving(idle_s=1) as port:
        assert await ask(port, b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n") == [(200, b"GET /a ")]


async def drip(port: int, head: bytes, piece: bytes) -> list[Answer]:
    """What is answered to one who sends `piece` over and over, slowly."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    answering = asyncio.create_task(read_answer(reader))
    while not answering.done():
        writer.write(piece)
        await asyncio.sleep(0.05)
    writer.close()
    return [answering.result()]


async def test_a_head_that_does_not_end_is_given_up() -> None:
    async with serving(head_s=1) as port:
        assert "1 seconds" in refused(await drip(port, b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: a\r\n"), 408)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_drips_is_given_up_and_the_application_told(chunked: bool) -> None:
    told = asyncio.Event()

    framing, piece = (b"Transfer-Encoding: chunked", b"1\r\na\r\n") if chunked else (b"Content-Length: 9999", b"a")
    async with serving(reading_until(told), body_grace_s=1) as port:
        head = b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n"
        assert "1000 bytes a second" in refused(await drip(port, head, piece), 408)
        await told.wait()


async def test_a_body_that_comes_fast_enough_is_given_up_at_its_deadline() -> None:
    async with serving(body_s=1, body_rate=1) as port:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"
        assert "within 1 seconds" in refused(await drip(port, head, bytes(100)), 408)


async def test_a_body_that_the_application_does_not_read_is_not_the_clients_fault() -> None:
    async def reads_late(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/a":
            await asyncio.sleep(3)  # longer than a body may take
        await echo(scope, receive, send)

    async with serving(reads_late, body_grace_s=1, body_s=1) as port:
        size = LIMIT - 100
        answers = await ask(
            port, b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size) + LAST
        )
        assert [status for status, _ in answers] == [200, 200]


async def test_who_is_refused_in_the_middle_of_a_body_can_read_why() -> None:
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    too_large = asyncio.Event()

    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(send, b"too large", [], 413)
        too_large.set()

    async with serving(refuses) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head % LIMIT)
        await too_large.wait()
        for _ in range(8):  # it goes on sending, as most do that read only then
            writer.write(bytes(LIMIT // 8))
            await writer.drain()
        assert await read_answer(reader) == (413, b"too large")
        assert await reader.read() == b""
        writer.close()


async def test_who_reads_nothing_of_an_answer_is_hung_up_on() -> None:
    ended = asyncio.Event()

    async def floods(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            with CancelScope(scope):
                await send({"type": "http.response.start", "status": 200, "headers": []})
                while True:
                    await send({"type": "http.response.body", "body": bytes(CORK), "more_body": True})
        except ClientGone:
            ended.set()

    async with serving(floods, unread_s=1) as port:
        with socket.create_connection(("127.0.0.1", port)) as reader:
            reader.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await ended.wait()
