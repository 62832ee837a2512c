"""What a connection writes: in one system call a turn of the loop, and nothing behind its end."""

import asyncio
from typing import Any

from service.transport import CorkedTransport


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = self.ended = False

    def write(self, data: Any) -> None:
        assert not self.closed
        assert not self.ended
        self.written.append(bytes(data))

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def test_what_one_turn_writes_is_sent_together() -> None:
    transport = FakeTransport()
    corked = CorkedTransport(transport, asyncio.get_running_loop())
    corked.write(b"head ")
    corked.write(b"body")
    assert transport.written == []
    await asyncio.sleep(0)
    corked.write(b"next")
    await asyncio.sleep(0)
    assert transport.written == [b"head body", b"next"]


async def test_closing_sends_what_was_written() -> None:
    transport = FakeTransport()
    corked = CorkedTransport(transport, asyncio.get_running_loop())
    corked.write(b"head ")
    corked.write(b"body")
    corked.close()
    await asyncio.sleep(0)
    assert (transport.written, transport.closed) == ([b"head body"], True)


async def test_nothing_is_written_behind_the_end() -> None:
    transport = FakeTransport()
    corked = CorkedTransport(transport, asyncio.get_running_loop())
    corked.write(b"refused")
    corked.write_eof()
    corked.write(b"HTTP/1.1 100 Continue")
    await asyncio.sleep(0)
    corked.close()
    assert (transport.written, transport.ended, transport.closed) == ([b"refused"], True, True)


async def test_nothing_is_written_to_a_client_that_hung_up_meanwhile() -> None:
    transport = FakeTransport()
    corked = CorkedTransport(transport, asyncio.get_running_loop())
    corked.write(b"answer")
    transport.close()
    await asyncio.sleep(0)
    assert transport.written == []
