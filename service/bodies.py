"""Request bodies: read whole, their content encoding undone, each within its limits."""

import asyncio
import zlib
from collections.abc import Callable
from typing import Final

from service.asgi import Headers, Receive, number_in
from service.offload import LARGE
from wire import headers as names
from wire.errors import ClientGone, InvalidInput, TooLarge, UnsupportedEncoding

Body = bytes | bytearray

# zlib's window bits: what `deflate` means in HTTP is zlib's own format.
ZLIB_WINDOWS: Final = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
IDENTITY: Final = (b"", b"identity")

# An encoded body may be this much smaller than what it stands for; JSON of ordinary numbers is 3 to 20 times.
MAX_RATIO: Final = 200
_INFLATED_PIECE: Final = 1 << 20
_PIECE: Final = 64 * 1024  # of an encoded body that is inflated at once


def _free(size: int) -> None:
    """Reserve nothing."""


async def read_body(receive: Receive, headers: Headers, limit: int, reserve: Callable[[int], None] = _free) -> Body:
    """The request's body, its content encoding undone; neither form is longer than `limit` bytes.

    `reserve` is called with the number of bytes as the body grows, and may raise. Raises TooLarge before it buffers or
    inflates more than `limit`, UnsupportedEncoding, InvalidInput for a broken encoding, ClientGone when the client
    leaves half way.
    """
    announced = number_in(headers, names.CONTENT_LENGTH)
    if announced is not None and announced > limit:
        raise TooLarge(f"the body has {announced} bytes, this server takes {limit}: send it in parts")
    message = await receive()
    body: Body = message.get("body", b"")
    reserve(len(body))
    if message.get("more_body", False):
        # One block that grows: as many small ones, a large body would leave the memory in pieces.
        body = bytearray(body)
        while message.get("more_body", False) and len(body) <= limit:
            message = await receive()
            body += message.get("body", b"")
            reserve(len(body))
    if len(body) > limit:
        raise TooLarge(f"the body has more than the {limit} bytes that this server takes: send it in parts")
    if message["type"] == "http.disconnect":
        raise ClientGone
    encoding = headers.get(names.CONTENT_ENCODING)
    if encoding is None:
        return body
    return await _decode(body, coding_of(encoding), limit, reserve)


def coding_of(name: bytes) -> bytes:
    """The content coding in lower case, with `gzip` for its old name `x-gzip`."""
    coding = name.strip().lower()
    return b"gzip" if coding == b"x-gzip" else coding


async def _decode(body: Body, encoding: bytes, limit: int, reserve: Callable[[int], None]) -> Body:
    if encoding in IDENTITY:
        return body
    if encoding not in ZLIB_WINDOWS:
        raise UnsupportedEncoding
    stream = zlib.decompressobj(ZLIB_WINDOWS[encoding])
    most = max(_INFLATED_PIECE, MAX_RATIO * len(body))
    inflated = bytearray()
    try:
        # In pieces, each of which is counted before the next is made; what has not been read yet is few bytes.
        for at in range(0, len(body), _PIECE):
            ahead: Body = body[at : at + _PIECE]
            while ahead:
                if len(inflated) <= LARGE:
                    inflated += stream.decompress(ahead, LARGE)
                else:
                    inflated += await asyncio.to_thread(stream.decompress, ahead, _INFLATED_PIECE)
                ahead = stream.unconsumed_tail
                reserve(len(body) + len(inflated))
                if len(inflated) > limit:
                    raise TooLarge(f"the body inflates to more than the {limit} bytes that this server takes")
                if len(inflated) > most:
                    raise TooLarge(f"the body inflates to more than {MAX_RATIO} times its size: send it as it is")
            if stream.eof and at + _PIECE < len(body):
                break
    except zlib.error as error:
        raise InvalidInput(f"the body is not {encoding.decode()}: {error}") from error
    if not stream.eof or stream.unused_data or at + _PIECE < len(body):
        raise InvalidInput(f"the body is not one whole {encoding.decode()} stream")
    reserve(len(inflated))
    return inflated
