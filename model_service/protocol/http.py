"""The ASGI pieces that worker and gateway share: bodies in, answers out, and the client that hangs up meanwhile."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from math import ceil
from time import monotonic
from types import TracebackType
from typing import Any, Final, ParamSpec, Protocol, TypeVar

import orjson

from model_service.protocol import headers as names
from model_service.protocol.errors import (
    ClientGone,
    DeadlineExceeded,
    InvalidInput,
    ServingError,
    TooLarge,
    UnsupportedEncoding,
)
from model_service.protocol.status import http_status

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = dict[bytes, bytes]
T = TypeVar("T")
P = ParamSpec("P")

JSON: Final = (names.CONTENT_TYPE, b"application/json")
OCTETS: Final = (names.CONTENT_TYPE, b"application/octet-stream")

# zlib's window bits: what `deflate` means in HTTP is zlib's own format.
ZLIB_WINDOWS: Final = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
# What takes more bytes than this takes longer than a trip to a thread.
_INLINE: Final = 64 * 1024

# Under this name a request's scope has the connection that it came by.
CONNECTION: Final = "headrace.connection"


class Connection(Protocol):
    """Calls `on_lost` when the client hangs up."""

    on_lost: Callable[[], None] | None


def headers_of(scope: Scope) -> Headers:
    """The request's headers by lower-case name; of a repeated one, the last."""
    return dict(scope["headers"])


async def read_body(receive: Receive, headers: Headers, limit: int) -> bytes:
    """The request's body, its content encoding undone; neither form is longer than `limit` bytes.

    Raises TooLarge before it buffers or inflates more than that, UnsupportedEncoding, InvalidInput for a broken
    encoding, ClientGone when the client leaves half way.
    """
    announced = _number(headers, names.CONTENT_LENGTH)
    if announced is not None and announced > limit:
        raise TooLarge(f"the body has {announced} bytes, this server takes {limit}")
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        chunks, size = [body], len(body)
        while message.get("more_body", False) and size <= limit:
            message = await receive()
            chunk: bytes = message.get("body", b"")
            chunks.append(chunk)
            size += len(chunk)
        body = b"".join(chunks)
    if len(body) > limit:
        raise TooLarge(f"the body has more than the {limit} bytes that this server takes")
    if message["type"] == "http.disconnect":
        raise ClientGone
    encoding = headers.get(names.CONTENT_ENCODING)
    if encoding is None:
        return body
    return await _decoded(body, encoding.strip().lower(), limit)


def json_length(headers: Headers) -> int | None:
    """How many bytes of the body are JSON, where the client says so. Raises InvalidInput for what is no number."""
    return _number(headers, names.INFERENCE_HEADER_CONTENT_LENGTH)


def deadline_of(headers: Headers, arrived: float) -> float | None:
    """When the client stops waiting: `arrived` (monotonic seconds) and the smaller of the timeouts that it sent."""
    wanted, envoy = _number(headers, names.TIMEOUT_MS), _number(headers, names.ENVOY_TIMEOUT_MS)
    timeouts = [timeout for timeout in (wanted, envoy or None) if timeout is not None]  # Envoy's 0 is "none"
    return arrived + min(timeouts) / 1000 if timeouts else None


async def send_answer(send: Send, body: bytes, headers: Sequence[tuple[bytes, bytes]], status: int = 200) -> None:
    """Answer with `body`; `headers` name everything but its length."""
    length = (names.CONTENT_LENGTH, b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


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


async def sized(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` makes of `size` bytes: at once, or in a thread where others would have to wait for it."""
    if size > _INLINE:
        return await asyncio.to_thread(work, *args, **kwargs)
    return work(*args, **kwargs)


class Patience:
    """`with Patience(scope, deadline): ...` ends the body when nobody waits for it any more.

    Raises ClientGone when the client hangs up, which `server.ClientProtocol` tells, and DeadlineExceeded at `deadline`
    (monotonic seconds; None is never). Neither costs a request a task of its own.
    """

    __slots__ = ("_connection", "_deadline", "_reason", "_task", "_timer")

    def __init__(self, scope: Scope, deadline: float | None = None) -> None:
        self._connection: Connection | None = scope.get(CONNECTION)
        self._deadline = deadline
        self._reason: type[ServingError] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "an ASGI application runs in a task"
        self._task = task
        if self._connection is not None:
            self._connection.on_lost = self._hung_up
        if self._deadline is not None:
            left = self._deadline - monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(left, 0.0), self._end, DeadlineExceeded)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.on_lost = None
        if self._timer is not None:
            self._timer.cancel()
        # Where others cancel the task as well, theirs goes on.
        if self._reason is not None and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise self._reason from error

    def _hung_up(self) -> None:
        self._end(ClientGone)

    def _end(self, reason: type[ServingError]) -> None:
        if self._reason is None:
            self._reason = reason
            self._task.cancel()


def _number(headers: Headers, name: bytes) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise InvalidInput(f"the header {name.decode()} must be a whole number, not {text.decode('latin-1')!r:.40}")
    return int(text)


async def _decoded(body: bytes, encoding: bytes, limit: int) -> bytes:
    if encoding in (b"", b"identity"):
        return body
    if encoding not in ZLIB_WINDOWS:
        raise UnsupportedEncoding
    return await sized(len(body), _inflate, body, encoding, limit)


def _inflate(body: bytes, encoding: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(ZLIB_WINDOWS[encoding])
    try:
        inflated = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInput(f"the body is not {encoding.decode()}: {error}") from error
    if len(inflated) > limit:
        raise TooLarge(f"the body inflates to more than the {limit} bytes that this server takes")
    if not stream.eof or stream.unused_data:
        raise InvalidInput(f"the body is not one whole {encoding.decode()} stream")
    return inflated
