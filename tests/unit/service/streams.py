"""What the default clients of other languages send: a POST of `BODY`, over a connection that they keep.

Recorded of curl 7.88, node 20, OpenJDK 17, Go 1.19 and nghttp 1.52, with another host. `make clients-test` has the
programs themselves ask.
"""

from typing import Final

BODY: Final = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}'
CHUNKED: Final = b"50\r\n" + BODY + b"\r\n0\r\n\r\n"


def _head(*lines: str) -> bytes:
    return "\r\n".join(["POST /infer HTTP/1.1", *lines, "", ""]).encode()


# What a client sends, and what it sends once it was told to go on: the body, where it asks first.
STREAMS: Final[dict[str, tuple[bytes, bytes]]] = {
    "curl": (
        _head(
            "Host: 127.0.0.1:8000", "User-Agent: curl/7.88.1", "Accept: */*", "content-type: application/json",
            "Content-Length: 80",
        )
        + BODY,
        b"",
    ),
    "curl --http2": (
        _head(
            "Host: 127.0.0.1:8000", "User-Agent: curl/7.88.1", "Accept: */*", "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "Content-Length: 80",
            "Content-Type: application/x-www-form-urlencoded",
        )
        + BODY,
        b"",
    ),
    "curl -H 'Expect: 100-continue'": (
        _head(
            "Host: 127.0.0.1:8000", "User-Agent: curl/7.88.1", "Accept: */*", "Expect: 100-continue",
            "Content-Length: 80", "Content-Type: application/x-www-form-urlencoded",
        ),
        BODY,
    ),
    "curl -T -": (
        _head(
            "Host: 127.0.0.1:8000", "User-Agent: curl/7.88.1", "Accept: */*", "Transfer-Encoding: chunked",
            "Expect: 100-continue",
        ),
        CHUNKED,
    ),
    "node fetch": (
        _head(
            "host: 127.0.0.1:8000", "connection: keep-alive", "content-type: text/plain;charset=UTF-8", "accept: */*",
            "accept-language: *", "sec-fetch-mode: cors", "user-agent: node", "accept-encoding: gzip, deflate",
            "content-length: 80",
        )
        + BODY,
        b"",
    ),
    "node http": (
        _head("Host: 127.0.0.1:8000", "Connection: keep-alive", "Transfer-Encoding: chunked") + CHUNKED,
        b"",
    ),
    "Java HttpClient": (
        _head(
            "Connection: Upgrade, HTTP2-Settings", "Content-Length: 80", "Host: 127.0.0.1:8000",
            "HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA", "Upgrade: h2c",
            "User-Agent: Java-http-client/17.0.15", "content-type: application/json",
        )
        + BODY,
        b"",
    ),
    "Java HttpClient, expectContinue": (
        _head(
            "Connection: Upgrade, HTTP2-Settings", "Content-Length: 80", "Expect: 100-Continue", "Host: 127.0.0.1:8000",
            "HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA", "Upgrade: h2c",
            "User-Agent: Java-http-client/17.0.15",
        ),
        BODY,
    ),
    "Go net/http": (
        _head(
            "Host: 127.0.0.1:8000", "User-Agent: Go-http-client/1.1", "Content-Length: 80", "Accept-Encoding: gzip",
        )
        + BODY,
        b"",
    ),
    "Go net/http, expecting": (
        _head(
            "Host: 127.0.0.1:8000", "User-Agent: Go-http-client/1.1", "Content-Length: 80", "Expect: 100-continue",
            "Accept-Encoding: gzip",
        ),
        BODY,
    ),
    "Go net/http, a reader": (
        _head(
            "Host: 127.0.0.1:8000", "User-Agent: Go-http-client/1.1", "Transfer-Encoding: chunked",
            "Accept-Encoding: gzip",
        )
        + CHUNKED,
        b"",
    ),
}  # fmt: skip

# With a body, `nghttp --upgrade` offers HTTP/2 by a request that has none.
NGHTTP_UPGRADE: Final = (
    b"OPTIONS * HTTP/1.1\r\nhost: 127.0.0.1:8000\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
    b"http2-settings: AAMAAABkAAQAAP__\r\naccept: */*\r\nuser-agent: nghttp2/1.52.0\r\n\r\n"
)
# Without it, HTTP/2 is spoken at once: the preface and the first settings, of what was recorded.
NGHTTP: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x0c\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"
