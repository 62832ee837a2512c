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
Received = tuple[int, Any, Arrays]  # the run's number, what was said of it, and its arrays


class Closed(Exception):
    """The other end is gone."""


def pack(run: int, about: Any, arrays: Arrays) -> tuple[list[bytes | memoryview], int]:
    """One frame: the run's number, anything that is JSON, and arrays. In parts, and how many bytes the arrays have."""
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
    return [_HEAD.pack(run, len(text), size) + text, *blobs], size


def send(to: socket.socket, run: int, about: Any, arrays: Arrays) -> None:
    """Send what `pack` makes of it. Blocks. Raises Closed."""
    send_parts(to, pack(run, about, arrays)[0])


def send_parts(to: socket.socket, parts: list[bytes | memoryview]) -> None:
    """Send a frame. Blocks, unless the socket doesn't. Raises Closed."""
    try:
        while parts:
            sent = to.sendmsg(parts[:_PARTS])
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if sent:
                parts[0] = memoryview(parts[0])[sent:]
    except OSError as error:
        raise Closed from error


def receive(source: socket.socket, ahead: int = AHEAD) -> Received:
    """The next frame. Where others may stand behind it, `ahead` must be 0. Blocks. Raises Closed."""
    return Incoming(source, ahead).receive()


class Incoming:
    """A frame whose head has come, and some of what follows. Raises Closed."""

    __slots__ = ("_body", "_frame", "_got", "_run", "_size", "_source", "is_whole")

    def __init__(self, source: socket.socket, ahead: int = AHEAD) -> None:
        self._source = source
        self._frame: Frame = bytearray(max(ahead, _HEAD.size))
        self._got = _fill(source, self._frame, 0, _HEAD.size)
        self._run, length, size = _HEAD.unpack_from(self._frame)
        self._body = _HEAD.size + length
        self._size = self._body + size
        self.is_whole = self._got >= self._size

    def receive(self) -> Received:
        """All of it. Blocks until it is whole."""
        if self._size > len(self._frame):
            # To fill it with zeros first would hold up all other threads.
            larger = np.empty(self._size, np.uint8).data
            larger[: self._got] = memoryview(self._frame)[: self._got]
            self._frame = larger
        _fill(self._source, self._frame, self._got, self._size)
        about, entries = orjson.loads(memoryview(self._frame)[_HEAD.size : self._body])
        return self._run, about, _arrays(self._frame, self._body, entries)


def _arrays(frame: Frame, at: int, entries: Sequence[tuple[str, str, Sequence[int], int]]) -> Arrays:
    arrays: Arrays = {}
    for name, dtype, shape, taken in entries:
        arrays[name] = _array(name, dtype, shape, frame, at, taken)
        at += taken + (-taken % _ALIGNMENT)
    return arrays


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
