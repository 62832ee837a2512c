"""Answers in gzip or deflate, for clients that ask for just that."""

import asyncio
import re
import zlib
from functools import lru_cache
from typing import Final

from service.asgi import Headers
from service.bodies import ZLIB_WINDOWS, coding_of
from wire import headers as names

_NEVER: Final = re.compile(rb"\s*q\s*=\s*0(\.0*)?\s*")
_FASTEST: Final = 1
# A body above this takes longer than a trip to a thread.
_INLINE: Final = 16 * 1024


def choose_coding(headers: Headers) -> bytes | None:
    """The coding to answer in: the one that the client accepts, if it names just one.

    HTTP libraries send `gzip, deflate, br` by default, and compressing for all of them would cost more than most models
    do. A client that names a single coding was told to by its user.
    """
    accepted = headers.get(names.ACCEPT_ENCODING)
    return None if accepted is None or b"," in accepted else _coding(accepted)


@lru_cache
def _coding(accepted: bytes) -> bytes | None:
    name, _, weight = accepted.partition(b";")
    if _NEVER.fullmatch(weight):
        return None
    coding = coding_of(name)
    return coding if coding in ZLIB_WINDOWS else None


async def compress(body: bytes, coding: bytes) -> bytes:
    """`body` in the coding that `choose_coding` found."""
    if len(body) > _INLINE:
        return await asyncio.to_thread(_compress, body, coding)
    return _compress(body, coding)


def _compress(body: bytes, coding: bytes) -> bytes:
    stream = zlib.compressobj(_FASTEST, wbits=ZLIB_WINDOWS[coding])
    return stream.compress(body) + stream.flush()
