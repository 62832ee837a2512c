"""ASGI's shapes, and what every request says of itself in its headers."""

import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from random import getrandbits
from typing import Any, Final

from wire import headers as names
from wire.errors import InvalidInput

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = dict[bytes, bytes]

_DIGITS: Final = 20  # of a number in a header, as those of 64 bits have
# Printable ASCII: it goes into headers and logs.
_REQUEST_ID: Final = re.compile(rb"[\x20-\x7e]{1,128}")


def headers_of(scope: Scope) -> Headers:
    """The request's headers by lower-case name."""
    return by_name(scope["headers"])


def by_name(pairs: Sequence[tuple[bytes, bytes]]) -> Headers:
    """The values of headers. Several lines of a name are one with commas between (RFC 9110, 5.3)."""
    headers = dict(pairs)
    if len(headers) < len(pairs):
        several: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            several.setdefault(name, []).append(value)
        headers = {name: b", ".join(values) for name, values in several.items()}
    return headers


def id_of(headers: Headers) -> bytes:
    """The client's own id for this request, where it is fit to be repeated and logged, or one made up."""
    given = headers.get(names.REQUEST_ID)
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%016x" % getrandbits(64)


def json_length(headers: Headers) -> int | None:
    """How many bytes of the body are JSON, where the client says so. Raises InvalidInput for what is no number."""
    return number_in(headers, names.INFERENCE_HEADER_CONTENT_LENGTH)


def deadline_of(headers: Headers, arrived: float) -> float | None:
    """When the client stops waiting: `arrived` (monotonic seconds) and the smaller of the timeouts that it sent."""
    if names.TIMEOUT_MS not in headers and names.ENVOY_TIMEOUT_MS not in headers:
        return None
    wanted, envoy = number_in(headers, names.TIMEOUT_MS), number_in(headers, names.ENVOY_TIMEOUT_MS)
    timeouts = [timeout for timeout in (wanted, envoy or None) if timeout is not None]  # Envoy's 0 is "none"
    return arrived + min(timeouts) / 1000 if timeouts else None


def refuses_cache(headers: Headers) -> bool:
    """Whether the client wants an answer that is computed for it."""
    return names.CACHE_CONTROL in headers and b"no-cache" in headers[names.CACHE_CONTROL].lower()


def number_in(headers: Headers, name: bytes) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    if not text.isdigit() or len(text) > _DIGITS:
        said = text.decode("latin-1")
        raise InvalidInput(
            f"the header {name.decode()} must be a whole number of {_DIGITS} digits at most, not {said!r:.40}"
        )
    return int(text)
