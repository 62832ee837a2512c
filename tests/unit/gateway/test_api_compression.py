import gzip
import zlib
from collections.abc import Callable

import pytest

from gateway.api import compression

UNPACK: dict[bytes, Callable[[bytes], bytes]] = {b"gzip": gzip.decompress, b"deflate": zlib.decompress}


@pytest.mark.parametrize("coding", UNPACK)
@pytest.mark.parametrize("size", [0, 100, 100_000])
async def test_what_is_compressed_comes_back_whole(coding: bytes, size: int) -> None:
    body = b"0123456789" * (size // 10)
    packed = await compression.compress(body, coding)
    assert UNPACK[coding](packed) == body
    assert size < 100 or len(packed) < size


def test_only_who_names_one_coding_alone_has_it() -> None:
    assert compression.choose_coding({b"accept-encoding": b"gzip"}) == b"gzip"
    assert compression.choose_coding({b"accept-encoding": b"deflate"}) == b"deflate"
    for accepted in (b"GZIP", b"x-gzip", b" X-Gzip ", b"gzip;q=0.5", b"gzip ; q=1.0"):
        assert compression.choose_coding({b"accept-encoding": accepted}) == b"gzip"
    for accepted in (
        b"gzip;q=0",
        b"gzip; q=0.000",
        b"gzip, deflate",
        b"gzip, deflate, br, zstd",
        b"br",
        b"identity",
        b"*",
        b"",
    ):
        assert compression.choose_coding({b"accept-encoding": accepted}) is None
    assert compression.choose_coding({}) is None
