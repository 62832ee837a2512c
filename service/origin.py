"""Which web pages may ask: a browser carries requests of any page to whatever this machine can reach.

What listens on a loopback address trusts that only this machine can ask. A page that is open in a browser here asks as
well: by a name that its owner made to lead here (DNS rebinding), or from an origin of its own, which another program
of this machine may serve.
"""

from collections.abc import Collection, MutableMapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from service.asgi import Headers, Send
from wire import headers as names
from wire.errors import Forbidden

PREFLIGHT: Final = b"access-control-request-method"

_KNOWN_HOSTS: Final = 1000
_EXPOSED: Final = b", ".join(
    (names.CACHE_STATUS, names.REQUEST_ID, names.ERROR, names.RETRY_AFTER, names.INFERENCE_HEADER_CONTENT_LENGTH)
)


class OriginCheck:
    """For a server that listens on `host`. Pages of `origins` may ask, wherever it listens.

    On a loopback address all other pages are refused but those that the server itself sent, and so are requests to
    names that are not among `hosts`. An address is no name, and a name without a dot has no owner elsewhere.
    """

    def __init__(self, host: str, hosts: Collection[str] = (), origins: Collection[str] = ()) -> None:
        self._local = is_loopback(host)
        self._hosts = frozenset(name.lower() for name in hosts)
        self._origins = frozenset(origin.lower().encode() for origin in origins)
        self._known: set[bytes | None] = {None}  # hosts that were found to be right; HTTP/1.0 has none

    def check(self, headers: Headers) -> None:
        """Raises Forbidden."""
        if not self._local:
            return
        host = headers.get(names.HOST)
        if host not in self._known:
            self._check_host(host or b"")
        if names.ORIGIN in headers and not self.lists(headers):
            origin = headers[names.ORIGIN].lower()
            if not host or origin.partition(b"://")[2] != host.lower():
                raise Forbidden(
                    f"web pages of {origin.decode('latin-1')!r:.100} may not ask: the gateway's cors_origins does not "
                    "list them"
                )

    def lists(self, headers: Headers) -> bool:
        """Whether a page asks whose origin is in the settings."""
        return bool(self._origins) and headers.get(names.ORIGIN, b"").lower() in self._origins

    def _check_host(self, host: bytes) -> None:
        name = hostname("//" + host.decode("latin-1")) or ""
        if not (is_loopback(name) or is_address(name) or "." not in name.rstrip(".") or name in self._hosts):
            raise Forbidden(f"{name!r:.100} is no name of this server: the gateway's `hosts` does not list it")
        if len(self._known) < _KNOWN_HOSTS:
            self._known.add(host)


async def answer_preflight(send: Send, headers: Headers) -> None:
    """Tell a browser that a page of a listed origin may ask what it is about to."""
    allowed = headers.get(b"access-control-request-headers")
    answer = [
        *_cors_headers(headers),
        (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, DELETE"),
        (b"access-control-max-age", b"600"),
        *([(b"access-control-allow-headers", allowed)] if allowed else []),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": answer})
    await send({"type": "http.response.body", "body": b""})


def allow_origin(send: Send, headers: Headers) -> Send:
    """A `send` whose answers a page of a listed origin may read."""

    async def send_with_origin(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_cors_headers(headers)]
        await send(message)

    return send_with_origin


def is_loopback(host: str | None) -> bool:
    """Whether `host`, a name or an address, means this machine alone."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Whether `host` is an address, and no name."""
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def hostname(url: str) -> str | None:
    """The host of a URL, None where it has none or is none."""
    try:
        return urlsplit(url).hostname
    except ValueError:  # brackets that hold no address
        return None


def _cors_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", headers[names.ORIGIN]),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"origin"),
    ]
