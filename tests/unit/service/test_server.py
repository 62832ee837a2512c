"""The applications that gateway and worker serve, over real sockets."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from service.answers import send_answer
from service.asgi import Receive, Scope, Send, headers_of
from service.bodies import read_body
from service.cancel_scope import CancelScope
from service.server import Server, config, listen, url_of
from service.transport import CORK
from service.turns import SLICE_S
from tests.unit.service.echo import serving
from tests.unit.service.loop_turns import LoopTurns, counting_turns
from wire.errors import ClientGone

LARGE = 5 * CORK + 1
LIMIT = 10 * LARGE


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path and the body, in two parts where the path says so."""
    body = await read_body(receive, headers_of(scope), LIMIT)
    answer = scope["path"].encode() + b" " + body
    if scope["path"] != "/parts":
        await send_answer(send, answer, [])
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for at in range(0, len(answer), 10_000):
        await send({"type": "http.response.body", "body": answer[at : at + 10_000], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(echo) as port:
        yield port


@pytest.fixture
async def client(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client


async def ask(port: int, request: bytes) -> bytes:
    """All that comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: x", *headers, "", ""]).encode()


@pytest.mark.parametrize("path", ["/whole", "/parts"])
@pytest.mark.parametrize("size", [0, 1, CORK - 10, CORK, LARGE])
async def test_answers_of_every_size_arrive_whole(client: httpx.AsyncClient, path: str, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    answer = await client.post(path, content=body)
    assert answer.content == path.encode() + b" " + body


async def test_one_connection_serves_many_requests(client: httpx.AsyncClient) -> None:
    for number in range(20):
        answer = await client.post("/a", content=b"%d" % number)
        assert answer.content == b"/a %d" % number
    stream = answer.extensions["network_stream"]
    assert (await client.get("/b")).extensions["network_stream"].get_extra_info("client_addr") == stream.get_extra_info(
        "client_addr"
    )


async def test_requests_sent_in_one_go_are_answered_in_their_order(port: int) -> None:
    paths = [f"/{number}" for number in range(30)]
    answer = await ask(port, b"".join(map(get, paths)) + get("/last", "connection: close"))
    bodies = [part.split(b"\r\n\r\n", 1)[1].split(b"HTTP/1.1")[0] for part in answer.split(b"200 OK")[1:]]
    assert bodies == [f"{path} ".encode() for path in [*paths, "/last"]]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_an_answer_is_out_before_the_connection_is_closed(port: int, version: str) -> None:
    answer = await ask(port, get("/bye", "connection: close").replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n/bye ")


async def test_what_is_no_http_is_answered_and_the_connection_closed(port: int) -> None:
    assert (await ask(port, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_a_slow_reader_slows_the_application_down() -> None:
    sent = 0
    enough = asyncio.Event()

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while sent < 1000 * CORK:
            await send({"type": "http.response.body", "body": bytes(CORK // 4), "more_body": True})
            sent += CORK // 4
        enough.set()

    async with serving(flood) as port:
        with socket.create_connection(("127.0.0.1", port)) as reader:
            reader.sendall(get("/"))
            while not sent:
                await asyncio.sleep(0.01)
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert not enough.is_set()  # 62 MiB do not wait in memory for one who does not read


@pytest.mark.parametrize(("pipelined", "size"), [(0, 0), (1, 0), (0, LARGE)])
async def test_work_for_a_client_that_hangs_up_is_cancelled(pipelined: int, size: int) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    requests = 0

    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal requests
        assert scope["type"] == "http"  # not the life cycle of an application, which this one does without
        requests += 1
        if requests <= pipelined:
            return await send_answer(send, b"", [])
        try:
            with CancelScope(scope):
                await read_body(receive, headers_of(scope), LIMIT)
                begun.set()
                await asyncio.Event().wait()
        except ClientGone:
            ended.set()

    async with serving(hangs) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/") * pipelined + get("/", f"content-length: {size}") + bytes(size))
        await begun.wait()
        writer.close()
        await ended.wait()


def test_a_free_port_is_found_and_told() -> None:
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert port > 0
        assert url_of(listening) == f"http://127.0.0.1:{port}"
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", port)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_ipv6_address_is_listened_on() -> None:
    try:
        listening = listen("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6 address")
    with listening:
        assert url_of(listening) == f"http://[::1]:{listening.getsockname()[1]}"


class Idle:
    """A connection that takes long to be closed."""

    def __init__(self, server: Server, turns: LoopTurns) -> None:
        self._connections: set[Any] = server.server_state.connections
        self._turns = turns

    def shutdown(self) -> None:
        time.sleep(SLICE_S)
        self._turns.happened()
        self._connections.discard(self)


async def test_a_server_that_ends_closes_its_connections_in_turns() -> None:
    listening = listen("127.0.0.1", 0)
    server = Server(config(echo, "127.0.0.1", 0, drain_s=5))
    task = asyncio.create_task(server.serve([listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    with counting_turns() as turns:
        for _ in range(5):
            server.server_state.connections.add(cast(Any, Idle(server, turns)))
        server.should_exit = True
        await task
    assert turns.each == [1] * 5
