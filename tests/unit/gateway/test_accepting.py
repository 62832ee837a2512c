"""Two acceptors of one socket: how they share the connections, and when a reserve takes them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.accepting import Acceptor
from gateway.serving import bind

Listen = Callable[[str, float], Acceptor]
PATIENCE_S = 0.2  # of the reserve: longer than a busy machine keeps the other from its turn


class Taken(asyncio.Protocol):
    """Counts its connections, and answers each with the name of who took it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._name.encode())
        transport.close()


@asynccontextmanager
async def listening(**after_s: float) -> AsyncIterator[tuple[dict[str, Acceptor], Listen, int]]:
    """Acceptors by name on one socket, as processes have them: each with a descriptor of its own. How to add one."""
    shared = bind("127.0.0.1", 0)
    sockets = [shared]

    def listen(name: str, after_s: float) -> Acceptor:
        sockets.append(socket.fromfd(shared.fileno(), shared.family, shared.type))
        return Acceptor(sockets[-1], asyncio.get_running_loop(), lambda: Taken(name), after_s)

    acceptors = {name: listen(name, seconds) for name, seconds in after_s.items()}
    try:
        yield acceptors, listen, shared.getsockname()[1]
    finally:
        for acceptor in acceptors.values():
            acceptor.close()
        for one in sockets:
            one.close()


async def taken_by(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()


async def test_those_that_share_a_socket_each_get_some_of_a_burst() -> None:
    async with listening(one=0.0, other=0.0) as (_, _, port):
        assert set(await asyncio.gather(*(taken_by(port) for _ in range(64)))) == {"one", "other"}


async def test_a_reserve_takes_nothing_while_the_other_is_well() -> None:
    async with listening(first=0.0, reserve=PATIENCE_S) as (_, _, port):
        assert [await taken_by(port) for _ in range(20)] == ["first"] * 20


async def test_a_reserve_takes_what_the_other_does_not_and_all_that_waits_behind_it() -> None:
    async with listening(first=0.0, reserve=PATIENCE_S) as (acceptors, _, port):
        acceptors["first"].close()
        began = asyncio.get_running_loop().time()
        assert set(await asyncio.gather(*(taken_by(port) for _ in range(200)))) == {"reserve"}
        assert asyncio.get_running_loop().time() - began >= PATIENCE_S / 2, "it did not wait for the other"


async def test_a_reserve_steps_back_when_the_other_is_there_again() -> None:
    async with listening(first=0.0, reserve=PATIENCE_S) as (acceptors, listen, port):
        acceptors["first"].close()
        assert await taken_by(port) == "reserve"
        acceptors["first"] = listen("first", 0.0)
        while await taken_by(port) != "first":  # the reserve may still be at it
            pass
        assert [await taken_by(port) for _ in range(20)] == ["first"] * 20
