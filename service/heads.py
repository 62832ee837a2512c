"""Checks of a request's head beyond the parser's: refuses what two readers could take for different requests."""

from collections.abc import Sequence
from urllib.parse import unquote

import httptools

from service.refusal import Refused
from wire import headers as names

Pairs = Sequence[tuple[bytes, bytes]]


def check_head(url: bytes, version: str, headers: Pairs, limit: int) -> None:
    """Raises Refused for a head that the parser lets pass and that other servers might read otherwise."""
    if len(url) + sum([len(name) + len(value) + 4 for name, value in headers]) > limit:
        raise too_large(limit)
    if version not in ("1.1", "1.0"):
        raise Refused(505, f"this server speaks HTTP/1.1, not HTTP/{version}")
    given = [name for name, _ in headers]
    hosts = given.count(names.HOST)
    if hosts > 1 or (not hosts and version == "1.1"):
        raise Refused(400, f"a request has one Host header, this has {hosts or 'none'}")
    if version == "1.0" and names.TRANSFER_ENCODING in given:
        raise Refused(400, "HTTP/1.0 has no transfer encodings")


def too_large(limit: int) -> Refused:
    """The refusal of a head that is too large."""
    return Refused(431, f"the head of a request may have {limit} bytes, this has more")


def target(url: bytes) -> tuple[bytes, bytes]:
    """The path and the query of a request."""
    if url == b"*":
        return b"/*", b""  # OPTIONS may ask about the server as a whole, which is no path
    if url[:1] == b"/" and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)
    return parsed.path or b"/", parsed.query or b""


def path_of(raw: bytes) -> str:
    """The path as applications have it, what is percent-encoded decoded. Raises UnicodeDecodeError."""
    path = raw.decode("ascii")
    return unquote(path) if "%" in path else path


def without_offer(method: bytes, url: bytes, version: str, headers: Pairs) -> bytes:
    """The head as it would be had the client not offered to speak another protocol."""
    if method == b"CONNECT":
        raise Refused(405, "CONNECT is for proxies, and this is none")
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    lines += [b"%b: %b" % (name, value) for name, value in headers if name != names.UPGRADE]
    return b"\r\n".join([*lines, b"", b""])
