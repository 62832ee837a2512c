"""The refusal of a request that no application sees: its status, its reason, and the bytes that are answered."""

from collections.abc import Iterable
from http import HTTPStatus

import orjson


class Refused(Exception):
    """This request is refused, and ends the connection."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def encode_refusal(refused: Refused, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The whole answer, with the server's own `headers`: JSON, as every error is."""
    body = orjson.dumps({"error": str(refused)})
    head = (
        b"HTTP/1.1 %d %b\r\n" % (refused.status, HTTPStatus(refused.status).phrase.encode()),
        *(b"%b: %b\r\n" % header for header in headers),
        b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body),
    )
    return b"".join(head) + body
