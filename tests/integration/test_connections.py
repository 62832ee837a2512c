"""What comes over raw connections to a real platform."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit

import orjson
import pytest

from tests.platform import LocalPlatform

ROWS = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]})
LAST = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def connect(url: str) -> socket.socket:
    address = urlsplit(url)
    assert address.hostname is not None
    return socket.create_connection((address.hostname, address.port or 80), timeout=60)


def exchange(url: str, request: bytes) -> bytes:
    """All that is answered until the server closes the connection."""
    with connect(url) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def infer(*headers: bytes) -> bytes:
    head = [b"POST /v2/models/double/infer HTTP/1.1", b"Host: 127.0.0.1", b"Content-Length: %d" % len(ROWS), *headers]
    return b"\r\n".join([*head, b"", ROWS])


@pytest.fixture(params=["gateway", "worker"])
def url(request: pytest.FixtureRequest, platform: LocalPlatform) -> str:
    return platform.url if request.param == "gateway" else platform.worker_url


@pytest.mark.parametrize(
    "headers", [
        [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"],
        [b"Connection: upgrade", b"Upgrade: websocket"],
        [b"Inference-Header-Content-Length: %d \t" % len(ROWS)],
    ],
)  # fmt: skip
def test_a_request_is_served_with_its_body(url: str, headers: list[bytes]) -> None:
    answers = exchange(url, infer(*headers) * 2 + LAST)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == answers.count(b"HTTP/1.1 ") == 3


def test_what_is_no_http_is_told_so_in_json(url: str) -> None:
    head, _, body = exchange(url, b"nonsense\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    assert "HTTP/1.1" in orjson.loads(body)["error"]


def test_bodies_that_come_slowly_keep_nobody_out(platform: LocalPlatform) -> None:
    unfinished = infer()[:-10]
    slow = [connect(platform.url) for _ in range(1100)]  # more than are served at once
    try:
        for connection in slow:
            connection.sendall(unfinished)
        for _ in range(20):
            assert b" 200 OK" in exchange(platform.url, infer(b"Connection: close"))
    finally:
        for connection in slow:
            connection.close()


def test_a_head_without_end_keeps_nobody_waiting(platform: LocalPlatform) -> None:
    refused = threading.Event()

    def send() -> None:
        with connect(platform.url) as connection:
            with contextlib.suppress(ConnectionError):  # it is refused long before it is sent
                connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (60 << 20))
            refused.set()

    sending = threading.Thread(target=send)
    sending.start()
    while not refused.is_set():
        assert b" 200 OK" in exchange(platform.url, LAST)
    sending.join()
