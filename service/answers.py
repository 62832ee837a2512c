"""Sending answers: whole, in pieces as the client reads them, as JSON, or as an error."""

import asyncio
from collections.abc import Sequence
from math import ceil
from typing import Any, Final

import orjson

from service.asgi import Send
from wire import headers as names
from wire.errors import ServingError
from wire.status import http_status

JSON: Final = (names.CONTENT_TYPE, b"application/json")
OCTETS: Final = (names.CONTENT_TYPE, b"application/octet-stream")
_PIECE: Final = 64 * 1024  # of an answer that is written
_BREATH: Final = 1 << 20  # bytes written after which others have their turn


async def send_answer(send: Send, body: bytes, headers: Sequence[tuple[bytes, bytes]], status: int = 200) -> None:
    """Answer with `body`; `headers` name everything but its length.

    A large one goes out as its client reads it: all but the last pieces are with the client when this returns.
    """
    length = (names.CONTENT_LENGTH, b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    if len(body) <= _PIECE:
        return await send({"type": "http.response.body", "body": body})
    view = memoryview(body)
    for at in range(0, len(body), _PIECE):
        await send({"type": "http.response.body", "body": view[at : at + _PIECE], "more_body": True})
        if at % _BREATH == 0:
            await asyncio.sleep(0)
    return await send({"type": "http.response.body", "body": b""})


async def send_json(send: Send, value: Any, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Answer with `value` as JSON."""
    await send_answer(send, orjson.dumps(value), [JSON, *headers], status)


async def send_inference(
    send: Send, body: bytes, length: int | None, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with what `codec.encode_response` made: a body, and the length of its JSON where more follows."""
    if length is None:
        await send_answer(send, body, [JSON, *headers])
    else:
        await send_answer(send, body, [OCTETS, (names.INFERENCE_HEADER_CONTENT_LENGTH, b"%d" % length), *headers])


async def send_error(
    send: Send, error: ServingError, headers: Sequence[tuple[bytes, bytes]] = (), content: Any = None
) -> None:
    """Answer `{"error": <message>}`, or `content` instead, with the error's status, its class in a header, and when to
    try again."""
    extra = [(names.ERROR, type(error).__name__.encode()), *headers]
    if error.retry_after is not None:
        extra.append((names.RETRY_AFTER, b"%d" % max(1, ceil(error.retry_after))))
    await send_json(send, content or {"error": str(error)}, http_status(error), extra)
