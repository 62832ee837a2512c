"""Bodies of requests, read within their limits."""

import asyncio
import gzip
import random
import zlib
from collections.abc import MutableMapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.asgi import Receive
from service.bodies import read_body
from wire.errors import ClientGone, InvalidInput, Overloaded, TooLarge, UnsupportedEncoding

GONE = {"type": "http.disconnect"}


def receiving(*messages: MutableMapping[str, Any]) -> Receive:
    """What an ASGI server hands over; nothing more comes after `messages`."""
    waiting = list(messages)

    async def receive() -> MutableMapping[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return receive


def body(*chunks: bytes) -> Receive:
    parts = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    parts[-1]["more_body"] = False
    return receiving(*parts)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6))
def test_a_body_is_read_whole_in_however_many_parts_it_comes(chunks: list[bytes]) -> None:
    assert asyncio.run(read_body(body(*chunks), {}, 1000)) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [[b"12345"], [b"123", b"45"]])
async def test_a_body_over_the_limit_is_refused_and_one_at_it_is_not(chunks: Sequence[bytes]) -> None:
    assert await read_body(body(*chunks), {}, 5) == b"12345"
    with pytest.raises(TooLarge, match="4 bytes"):
        await read_body(body(*chunks), {}, 4)


async def test_what_is_announced_as_too_large_is_not_even_read() -> None:
    with pytest.raises(TooLarge, match=r"9 bytes.* takes 8"):
        await read_body(receiving(), {b"content-length": b"9"}, 8)


async def test_a_body_without_end_is_read_no_further_than_the_limit() -> None:
    read = 0

    async def receive() -> MutableMapping[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"1234", "more_body": True}

    with pytest.raises(TooLarge):
        await read_body(receive, {}, 10)
    assert read == 3


@pytest.mark.parametrize("first", [[], [{"type": "http.request", "body": b"1", "more_body": True}]])
async def test_a_client_that_leaves_half_way_is_noticed(first: list[MutableMapping[str, Any]]) -> None:
    with pytest.raises(ClientGone):
        await read_body(receiving(*first, GONE), {}, 10)


@pytest.mark.parametrize(("encoding", "encode"), [(b"gzip", gzip.compress), (b"Deflate ", zlib.compress)])
@pytest.mark.parametrize("size", [0, 10, 300_000])
async def test_an_encoded_body_is_decoded(encoding: bytes, encode: Any, size: int) -> None:
    plain = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    encoded = encode(plain, 0)
    assert await read_body(body(encoded), {b"content-encoding": encoding}, 400_000) == plain


async def test_identity_is_an_encoding() -> None:
    assert await read_body(body(b"123"), {b"content-encoding": b"identity"}, 10) == b"123"


async def test_an_encoding_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip"):
        await read_body(body(b"123"), {b"content-encoding": b"br"}, 10)


async def test_what_is_read_and_inflated_is_told_as_it_grows() -> None:
    told: list[int] = []
    plain = random.Random(1).randbytes(1000) * 2000
    encoded = gzip.compress(plain, 1)
    chunks = [encoded[at : at + 5000] for at in range(0, len(encoded), 5000)]
    assert await read_body(body(*chunks), {b"content-encoding": b"gzip"}, 3_000_000, told.append) == plain
    assert told[0] == 5000
    assert max(told) == len(encoded) + len(plain)
    assert max(later - earlier for earlier, later in pairwise(told)) <= 1 << 20
    assert told[-1] == len(plain)


async def test_who_is_told_refuses_before_more_is_read_or_inflated() -> None:
    def reserve(size: int) -> None:
        if size > 200_000:
            raise Overloaded

    chunks = [bytes(100_000)] * 5
    waiting = body(*chunks)
    with pytest.raises(Overloaded):
        await read_body(waiting, {}, 1_000_000, reserve)
    assert (await waiting())["more_body"]  # the fourth
    with pytest.raises(Overloaded):
        await read_body(
            body(gzip.compress(random.Random(1).randbytes(1000) * 1000)),
            {b"content-encoding": b"gzip"},
            2_000_000,
            reserve,
        )


async def test_a_body_that_inflates_far_beyond_its_size_is_refused_with_the_ratio() -> None:
    bomb = gzip.compress(b"{}," * 10_000_000)
    told: list[int] = []
    with pytest.raises(TooLarge, match="200 times its size: send it as it is"):
        await read_body(body(bomb), {b"content-encoding": b"gzip"}, 100_000_000, told.append)
    assert max(told) < 210 * len(bomb) + (1 << 20)


async def test_a_small_body_cannot_inflate_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(1_000_000))
    with pytest.raises(TooLarge, match="inflates"):
        await read_body(body(bomb), {b"content-encoding": b"gzip"}, 10_000)


@pytest.mark.parametrize("broken", [b"plain", gzip.compress(b"abc")[:-4], gzip.compress(b"abc") + b"more"])
async def test_a_broken_encoding_is_the_clients_fault(broken: bytes) -> None:
    with pytest.raises(InvalidInput, match="gzip"):
        await read_body(body(broken), {b"content-encoding": b"gzip"}, 1000)
