"""HTTP beside inference: bodies in the encodings that inference takes and within limits, HEAD wherever there is GET."""

import zlib
from collections.abc import MutableMapping
from typing import Any, Final

from service.asgi import Receive, Scope, Send, headers_of
from service.bodies import IDENTITY, ZLIB_WINDOWS, coding_of
from wire import headers as names
from wire.errors import InvalidInput, UnsupportedEncoding

_PART: Final = 64 * 1024


def inflate(scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
    """The request as it would have come without a content encoding. Raises UnsupportedEncoding."""
    coding = coding_of(headers_of(scope).get(names.CONTENT_ENCODING, b""))
    if coding in IDENTITY:
        return scope, receive
    if coding not in ZLIB_WINDOWS:
        raise UnsupportedEncoding
    kept = [(name, value) for name, value in scope["headers"] if name != names.CONTENT_ENCODING]
    return {**scope, "headers": kept}, Inflated(receive, coding)


def hide_length(scope: Scope) -> Scope:
    """The request without its content length.

    The framework would refuse a length over the limit by itself, with an answer in plain text. Without the header it
    counts the bytes as they come, and what it then raises is answered in our own shape.
    """
    return {**scope, "headers": [header for header in scope["headers"] if header[0] != names.CONTENT_LENGTH]}


class Inflated:
    """A `receive` that undoes a coding, part by part: how large the whole may become is for whoever reads it to say.

    Raises InvalidInput for what is not one whole stream of that coding.
    """

    def __init__(self, receive: Receive, coding: bytes) -> None:
        self._receive = receive
        self._coding = coding.decode()
        self._stream = zlib.decompressobj(ZLIB_WINDOWS[coding])
        self._more = True  # is to come, of the compressed body

    async def __call__(self) -> MutableMapping[str, Any]:
        left = self._stream.unconsumed_tail
        while True:
            if not left and self._more:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                left, self._more = message.get("body", b""), message.get("more_body", False)
            try:
                part = self._stream.decompress(left, _PART)
            except zlib.error as error:
                raise InvalidInput(f"the body is not {self._coding}: {error}") from error
            left = self._stream.unconsumed_tail
            more = bool(left) or self._more
            if self._stream.unused_data or not (more or self._stream.eof):
                raise InvalidInput(f"the body is not one whole {self._coding} stream")
            if part or not more:
                return {"type": "http.request", "body": part, "more_body": more}


def without_body(send: Send) -> Send:
    """A `send` for the answer to HEAD: that of GET, but for its body."""

    async def send_head(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
