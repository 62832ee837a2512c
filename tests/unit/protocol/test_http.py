import asyncio
import gzip
import zlib
from collections.abc import Callable, MutableMapping, Sequence
from time import monotonic
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_service.protocol.errors import (
    ClientGone,
    DeadlineExceeded,
    InvalidInput,
    ModelNotFound,
    Overloaded,
    TooLarge,
    UnsupportedEncoding,
)
from model_service.protocol.http import (
    CONNECTION,
    Patience,
    Receive,
    Scope,
    deadline_of,
    headers_of,
    json_length,
    read_body,
    send_answer,
    send_error,
    send_inference,
)

GONE = {"type": "http.disconnect"}


def receiving(*messages: MutableMapping[str, Any]) -> Receive:
    """What an ASGI server hands over; nothing more comes after `messages`."""
    waiting = list(messages)

    async def receive() -> MutableMapping[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return receive


def body(*chunks: bytes) -> Receive:
    parts = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    parts[-1]["more_body"] = False
    return receiving(*parts)


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


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6))
def test_a_body_is_read_whole_in_however_many_parts_it_comes(chunks: list[bytes]) -> None:
    assert asyncio.run(read_body(body(*chunks), {}, 1000)) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [[b"12345"], [b"123", b"45"]])
async def test_a_body_over_the_limit_is_refused_and_one_at_it_is_not(chunks: Sequence[bytes]) -> None:
    assert await read_body(body(*chunks), {}, 5) == b"12345"
    with pytest.raises(TooLarge, match="4 bytes"):
        await read_body(body(*chunks), {}, 4)


async def test_what_is_announced_as_too_large_is_not_even_read() -> None:
    with pytest.raises(TooLarge, match=r"9 bytes.* takes 8"):
        await read_body(receiving(), {b"content-length": b"9"}, 8)


async def test_a_body_without_end_is_read_no_further_than_the_limit() -> None:
    read = 0

    async def receive() -> MutableMapping[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"1234", "more_body": True}

    with pytest.raises(TooLarge):
        await read_body(receive, {}, 10)
    assert read == 3


@pytest.mark.parametrize("first", [[], [{"type": "http.request", "body": b"1", "more_body": True}]])
async def test_a_client_that_leaves_half_way_is_noticed(first: list[MutableMapping[str, Any]]) -> None:
    with pytest.raises(ClientGone):
        await read_body(receiving(*first, GONE), {}, 10)


@pytest.mark.parametrize(("encoding", "encode"), [(b"gzip", gzip.compress), (b"Deflate ", zlib.compress)])
@pytest.mark.parametrize("size", [0, 10, 300_000])
async def test_an_encoded_body_is_decoded(encoding: bytes, encode: Any, size: int) -> None:
    plain = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    encoded = encode(plain, 0)
    assert await read_body(body(encoded), {b"content-encoding": encoding}, 400_000) == plain


async def test_identity_is_an_encoding() -> None:
    assert await read_body(body(b"123"), {b"content-encoding": b"identity"}, 10) == b"123"


async def test_an_encoding_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip"):
        await read_body(body(b"123"), {b"content-encoding": b"br"}, 10)


async def test_a_small_body_cannot_inflate_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(1_000_000))
    with pytest.raises(TooLarge, match="inflates"):
        await read_body(body(bomb), {b"content-encoding": b"gzip"}, 10_000)


@pytest.mark.parametrize("broken", [b"plain", gzip.compress(b"abc")[:-4], gzip.compress(b"abc") + b"more"])
async def test_a_broken_encoding_is_the_clients_fault(broken: bytes) -> None:
    with pytest.raises(InvalidInput, match="gzip"):
        await read_body(body(broken), {b"content-encoding": b"gzip"}, 1000)


def test_headers_are_found_by_name() -> None:
    assert headers_of({"headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]}) == {b"a": b"3", b"b": b"2"}


def test_without_a_timeout_there_is_no_deadline() -> None:
    assert deadline_of({}, 5.0) is None
    assert deadline_of({b"x-envoy-expected-rq-timeout-ms": b"0"}, 5.0) is None


def test_the_deadline_is_the_sooner_one_counted_from_arrival() -> None:
    both = {b"x-request-timeout-ms": b"300", b"x-envoy-expected-rq-timeout-ms": b"2000"}
    assert deadline_of(both, 5.0) == pytest.approx(5.3)
    assert deadline_of({**both, b"x-envoy-expected-rq-timeout-ms": b"100"}, 5.0) == pytest.approx(5.1)


@pytest.mark.parametrize("text", [b"", b"-1", b"1.5", b"ten", b"9" * 19, "\u0663".encode()])
def test_a_number_that_is_none_is_the_clients_fault(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="x-request-timeout-ms"):
        deadline_of({b"x-request-timeout-ms": text}, 0.0)
    with pytest.raises(InvalidInput, match="inference-header-content-length"):
        json_length({b"inference-header-content-length": text})


async def test_an_answer_names_its_length() -> None:
    sent = Sent()
    await send_answer(sent, b"12345", [(b"content-type", b"text/plain")])
    assert (sent.status, sent.body) == (200, b"12345")
    assert sent.headers == {b"content-type": b"text/plain", b"content-length": b"5"}


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


class Client:
    """A connection whose client hangs up when told."""

    on_lost: Callable[[], None] | None = None

    @property
    def scope(self) -> Scope:
        return {CONNECTION: self}

    def hang_up(self) -> None:
        assert self.on_lost is not None, "nobody waits"
        self.on_lost()


async def waiting(client: Client, deadline: float | None = None) -> None:
    with Patience(client.scope, deadline):
        await asyncio.Event().wait()


async def test_work_for_a_client_that_hangs_up_is_cancelled() -> None:
    client, cancelled = Client(), False

    async def work() -> None:
        nonlocal cancelled
        with Patience(client.scope):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled = True
                raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    client.hang_up()
    with pytest.raises(ClientGone):
        await task
    assert cancelled


@pytest.mark.parametrize("left_s", [-1.0, 0.0, 0.01])
async def test_work_ends_at_its_deadline(left_s: float) -> None:
    with pytest.raises(DeadlineExceeded):
        await waiting(Client(), monotonic() + left_s)


async def test_of_two_reasons_the_first_counts() -> None:
    client = Client()
    task = asyncio.create_task(waiting(client, monotonic() + 0.01))
    await asyncio.sleep(0)
    hang_up = client.on_lost
    assert hang_up is not None
    hang_up()
    hang_up()
    with pytest.raises(ClientGone):
        await task
    assert task.cancelling() == 0


async def test_a_server_that_tells_of_no_hanging_up_still_keeps_deadlines() -> None:
    with pytest.raises(DeadlineExceeded), Patience({}, monotonic()):
        await asyncio.Event().wait()


async def test_who_is_done_in_time_is_not_disturbed() -> None:
    client, deadline = Client(), monotonic() + 0.01
    with Patience(client.scope, deadline):
        pass
    assert client.on_lost is None
    while monotonic() < deadline + 0.01:
        await asyncio.sleep(0.01)  # a cancellation would be raised here
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_error_of_the_work_passes_through() -> None:
    with pytest.raises(ModelNotFound), Patience(Client().scope, monotonic() + 60):
        raise ModelNotFound("m")


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    for hangs_up in (False, True):
        client = Client()
        task = asyncio.create_task(waiting(client))
        await asyncio.sleep(0)
        if hangs_up:
            client.hang_up()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
