"""What stands under a key in Redis: `<u8 version><u32 crc32><value>`, or a lease: `<u8 0><token>`.

The checksum covers the key as well, so that neither a damaged value nor one under another's key is ever an answer.
"""

import struct
from typing import Final
from zlib import crc32

LEASE: Final = b"\0"
_HEADER: Final = struct.Struct(">BI")
_VERSION: Final = 1


def pack(key: bytes, value: bytes) -> bytes:
    return _HEADER.pack(_VERSION, crc32(value, crc32(key))) + value


def unpack(key: bytes, frame: bytes) -> bytes | None:
    """The value, or None where `frame` is not what `pack` made for this key."""
    if len(frame) < _HEADER.size:
        return None
    value = frame[_HEADER.size :]
    return value if _HEADER.unpack_from(frame) == (_VERSION, crc32(value, crc32(key))) else None
