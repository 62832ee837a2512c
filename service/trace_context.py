"""The trace that a request is part of, as its caller names it: W3C Trace Context, `traceparent` and `tracestate`."""

import re
from typing import Final, NamedTuple

from service.asgi import Headers
from wire import headers as names

# Version, trace, the caller's span, flags; a later version than 00 may say more.
_TRACEPARENT: Final = re.compile(
    rb"(?:00-(?=.{52}$)|(?!00|ff)[0-9a-f]{2}-)(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?"
)
_SAMPLED: Final = 1
_MAX_STATE: Final = 512  # what the standard asks everyone to hand on


class Caller(NamedTuple):
    """The trace's id, 32 hexadecimal digits, and whether the caller records it."""

    trace_id: str
    records: bool


def caller_of(headers: Headers) -> Caller | None:
    """The caller's trace; None without a header, or with a malformed one."""
    found = _match(headers)
    return None if found is None else Caller(found[1].decode(), bool(int(found[2], 16) & _SAMPLED))


def recorded_trace(headers: Headers) -> str | None:
    """The trace's id where the caller records it."""
    if names.TRACEPARENT not in headers:
        return None
    caller = caller_of(headers)
    return caller.trace_id if caller is not None and caller.records else None


def propagate(headers: Headers) -> bytes:
    """The header lines that pass the caller's trace on to the next service; empty where it names none."""
    if _match(headers) is None:
        return b""
    lines = b"%b: %b\r\n" % (names.TRACEPARENT, headers[names.TRACEPARENT])
    state = headers.get(names.TRACESTATE)
    return lines + b"%b: %b\r\n" % (names.TRACESTATE, state) if state and len(state) <= _MAX_STATE else lines


def _match(headers: Headers) -> re.Match[bytes] | None:
    value = headers.get(names.TRACEPARENT)
    return None if value is None else _TRACEPARENT.fullmatch(value)
