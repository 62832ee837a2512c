"""Answers in gzip or deflate, for clients that ask for just that."""

import asyncio
import zlib
from typing import Final

from model_service.protocol import headers as names
from model_service.protocol.http import ZLIB_WINDOWS, Headers

_FASTEST: Final = 1
# A body above this takes longer than a trip to a thread.
_INLINE: Final = 16 * 1024


def wanted(headers: Headers) -> bytes | None:
    """The coding that the client names alone.

    HTTP libraries accept `gzip, deflate, br` by themselves, and compressing for each of them would cost more than most
    models do: only who was told to ask for one coding has it.
    """
    coding = headers.get(names.ACCEPT_ENCODING)
    return coding if coding in ZLIB_WINDOWS else None


async def compress(body: bytes, coding: bytes) -> bytes:
    """`body` in the coding that `wanted` found."""
    if len(body) > _INLINE:
        return await asyncio.to_thread(_compress, body, coding)
    return _compress(body, coding)


def _compress(body: bytes, coding: bytes) -> bytes:
    stream = zlib.compressobj(_FASTEST, wbits=ZLIB_WINDOWS[coding])
    return stream.compress(body) + stream.flush()
