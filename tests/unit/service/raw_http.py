"""Requests as bytes over a socket, and the answers to them."""

import asyncio

import orjson

LAST = b"POST /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
Answer = tuple[int, bytes]  # its status, and its body


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The next answer of a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    return int(head[9:12]), await reader.readexactly(int(headers.get(b"content-length", 0)))


async def ask(port: int, *parts: bytes) -> list[Answer]:
    """All that is answered until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    answers = []
    while (answer := await next_answer(reader)) is not None:
        answers.append(answer)
    writer.close()
    return answers


async def next_answer(reader: asyncio.StreamReader) -> Answer | None:
    """None where the connection is closed instead."""
    try:
        return await read_answer(reader)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None


def refused(answers: list[Answer], status: int) -> str:
    """The error of the last answer, which is the one that closes the connection."""
    assert answers[-1][0] == status, answers
    error: str = orjson.loads(answers[-1][1])["error"]
    return error
