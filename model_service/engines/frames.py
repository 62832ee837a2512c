"""Arrays between a worker and the processes of its engines, over a stream socket.

A frame is a fixed head (the run's number, the lengths of what follows), JSON, and the arrays' bytes in the order in
which the JSON names them, each at a multiple of 16 bytes. No pickle: a graph that takes over its process must not get
any further.
"""

import socket
import struct
from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
import orjson

from model_service.engines.base import Array, Arrays
from wire.tensors import join_bytes, split_bytes

_HEAD: Final = struct.Struct("<QQQ")  # run, length of the JSON, length of the arrays
_ALIGNMENT: Final = 16
_BYTES: Final = "bytes"  # in place of a dtype: each element is a <u32 length><bytes>
_PARTS: Final = 64  # of one system call; the kernel takes 1,024 at most
AHEAD: Final = 16 << 10  # read at once, which for most frames is all

Frame = bytearray | memoryview


class Closed(Exception):
    """The other end is gone."""


def send(to: socket.socket, run: int, about: Any, arrays: Arrays) -> None:
    """Send one frame: the run's number, anything that is JSON, and arrays. Blocks. Raises Closed."""
    entries: list[tuple[str, str, tuple[int, ...], int]] = []
    blobs: list[bytes | memoryview] = []
    size = 0
    for name, array in arrays.items():
        blob = _bytes_of(array)
        entries.append((name, _BYTES if array.dtype == np.object_ else array.dtype.str, array.shape, len(blob)))
        padding = -len(blob) % _ALIGNMENT
        blobs += (blob, bytes(padding)) if padding else (blob,)
        size += len(blob) + padding
    text = orjson.dumps((about, entries))
    text += b" " * (-(_HEAD.size + len(text)) % _ALIGNMENT)
    try:
        _send_all(to, [_HEAD.pack(run, len(text), size) + text, *blobs])
    except OSError as error:
        raise Closed from error


def receive(source: socket.socket, ahead: int = AHEAD) -> tuple[int, Any, Arrays]:
    """The next frame. Where others may stand behind it, `ahead` must be 0. Blocks. Raises Closed."""
    frame: Frame = bytearray(max(ahead, _HEAD.size))
    got = _fill(source, frame, 0, _HEAD.size)
    run, length, size = _HEAD.unpack_from(frame)
    body = _HEAD.size + length
    if body + size > len(frame):
        larger = np.empty(body + size, np.uint8).data  # to fill it with zeros first would hold up all other threads
        larger[:got] = memoryview(frame)[:got]
        frame = larger
    _fill(source, frame, got, body + size)
    about, entries = orjson.loads(memoryview(frame)[_HEAD.size : body])
    arrays: Arrays = {}
    at = body
    for name, dtype, shape, taken in entries:
        arrays[name] = _array(name, dtype, shape, frame, at, taken)
        at += taken + (-taken % _ALIGNMENT)
    return run, about, arrays


def as_arrays(body: bytes) -> Arrays:
    """A body of the wire, to be sent as the only array of a frame."""
    return {"body": np.frombuffer(body, np.uint8)}


def as_body(arrays: Arrays) -> bytes:
    """The inverse of `as_arrays`."""
    return arrays["body"].tobytes()


def _bytes_of(array: Array) -> bytes | memoryview:
    if array.dtype == np.object_:
        return join_bytes(array.ravel().tolist())
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _array(name: str, dtype: str, shape: Sequence[int], frame: Frame, at: int, size: int) -> Array:
    count = prod(shape)
    if dtype != _BYTES:
        return np.frombuffer(frame, dtype, count, at).reshape(shape) if count else np.empty(shape, dtype)
    array = np.empty(count, np.object_)
    array[:] = split_bytes(bytes(frame[at : at + size]), count, name)
    return array.reshape(shape)


def _send_all(to: socket.socket, parts: list[bytes | memoryview]) -> None:
    while parts:
        sent = to.sendmsg(parts[:_PARTS])
        while parts and sent >= len(parts[0]):
            sent -= len(parts.pop(0))
        if sent:
            parts[0] = memoryview(parts[0])[sent:]


def _fill(source: socket.socket, frame: Frame, got: int, wanted: int) -> int:
    """Read until `wanted` bytes are there, or more of them; how many there are then."""
    with memoryview(frame) as view:
        while got < wanted:
            try:
                read = source.recv_into(view[got:])
            except OSError as error:
                raise Closed from error
            if read == 0:
                raise Closed
            got += read
    return got
