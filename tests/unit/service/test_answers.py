"""Answers as they are sent."""

import random
from collections.abc import MutableMapping
from typing import Any

import orjson

from service.answers import send_answer, send_error, send_inference
from wire.errors import ModelNotFound, Overloaded


class Sent:
    """Collects what is sent."""

    def __init__(self) -> None:
        self.messages: list[MutableMapping[str, Any]] = []

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])


async def test_an_answer_names_its_length() -> None:
    sent = Sent()
    await send_answer(sent, b"12345", [(b"content-type", b"text/plain")])
    assert (sent.status, sent.body) == (200, b"12345")
    assert sent.headers == {b"content-type": b"text/plain", b"content-length": b"5"}


async def test_a_large_answer_goes_out_in_pieces_and_whole() -> None:
    sent, answer = Sent(), random.Random(1).randbytes(300_000)
    await send_answer(sent, answer, [])
    assert (sent.body, sent.headers[b"content-length"]) == (answer, b"300000")
    assert max(len(message["body"]) for message in sent.messages[1:]) <= 64 * 1024
    assert [message.get("more_body", False) for message in sent.messages[1:]][-2:] == [True, False]


async def test_an_inference_with_binary_tensors_says_how_much_is_json() -> None:
    sent = Sent()
    await send_inference(sent, b"{}1234", 2)
    assert sent.headers[b"inference-header-content-length"] == b"2"
    assert sent.headers[b"content-type"] == b"application/octet-stream"


async def test_an_inference_in_json_is_json() -> None:
    sent = Sent()
    await send_inference(sent, b"{}", None)
    assert sent.headers == {b"content-type": b"application/json", b"content-length": b"2"}


async def test_an_error_says_what_it_is_and_when_to_come_back() -> None:
    sent = Sent()
    await send_error(sent, Overloaded("full", retry_after=1.2))
    assert (sent.status, orjson.loads(sent.body)) == (503, {"error": "full"})
    assert sent.headers[b"headrace-error"] == b"Overloaded"
    assert sent.headers[b"retry-after"] == b"2"


async def test_an_error_that_stays_has_no_retry_after() -> None:
    sent = Sent()
    await send_error(sent, ModelNotFound("no 'm'"))
    assert sent.status == 404
    assert b"retry-after" not in sent.headers
