"""Clients that vanish, hang and pipeline, against a server that writes down what it sees."""

import asyncio

from loadtests.rude import PIPELINED, Rude

BODY = b'{"inputs": "a text"}'


async def test_each_is_rude_in_its_own_way() -> None:
    whole: list[bytes] = []
    cut: list[bytes] = []
    answers = [b"HTTP/1.1 200 OK", b"HTTP/1.1 429 Too Many Requests"]
    answering = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = b""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen = await reader.read(len(BODY))
                if len(seen) < len(BODY):
                    seen += await reader.readexactly(len(BODY) - len(seen))
                whole.append(head + seen)
                if answering:
                    writer.write(b"%b\r\nContent-Length: 2\r\n\r\n{}" % answers[len(whole) % 2])
        except (asyncio.IncompleteReadError, ConnectionError):
            cut.append(seen)
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        rude = Rude(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v2/models/m/infer", BODY)
        await rude.pipeline()
        assert len(whole) == PIPELINED
        assert rude.answered == PIPELINED // 2
        assert whole[0].startswith(b"POST /v2/models/m/infer HTTP/1.1\r\n")
        answering = False
        await asyncio.wait_for(rude.vanish(), 5)
        assert rude.answered == PIPELINED // 2
        whole.clear()
        await asyncio.wait_for(rude.hang(), 10)
        await asyncio.sleep(0.05)
    assert whole == []
    assert cut[-1] == BODY[:-10]
