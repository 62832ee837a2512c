"""What comes over a connection: clients' own bytes, requests that are none, and large ones."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.answers import send_answer
from service.asgi import Receive, Scope, Send, headers_of
from service.bodies import read_body
from service.cancel_scope import send_interim
from tests.unit.service.echo import LIMIT, WAYS, echo, echo_by, reading_until, serving
from tests.unit.service.raw_http import LAST, ask, read_answer, refused
from tests.unit.service.streams import BODY, NGHTTP, NGHTTP_UPGRADE, STREAMS

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = b"Host: x\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WAYS)
async def port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """Where `echo` answers, by ASGI and by each of the ways past it."""
    async with serving(echo_by(request.param)) as port:
        yield port


# Clients


@pytest.mark.parametrize("client", STREAMS)
@pytest.mark.parametrize("requests", [1, 3])
async def test_what_a_client_sends_is_read_as_the_client_means_it(port: int, client: str, requests: int) -> None:
    first, then = STREAMS[client]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(requests):
        writer.write(first)
        if then:
            assert await read_answer(reader) == (100, b"")
            writer.write(then)
        assert await read_answer(reader) == (200, b"POST /infer " + BODY)
    writer.write(LAST)
    assert await read_answer(reader) == (200, b"POST /last hi")
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("client", [client for client, (_, then) in STREAMS.items() if not then])
@pytest.mark.parametrize("size", [1, 7, 100])
async def test_wherever_it_is_cut_it_is_read_the_same(port: int, client: str, size: int) -> None:
    stream = STREAMS[client][0] * 2 + LAST
    answers = await ask(port, *(stream[at : at + size] for at in range(0, len(stream), size)))
    assert answers == [(200, b"POST /infer " + BODY)] * 2 + [(200, b"POST /last hi")]


async def test_many_offers_in_one_go_are_all_declined(port: int) -> None:
    offer = STREAMS["curl --http2"][0]
    answers = await ask(port, offer * 300 + LAST)
    assert answers == [(200, b"POST /infer " + BODY)] * 300 + [(200, b"POST /last hi")]


async def test_the_body_behind_an_offer_is_never_the_next_request(port: int) -> None:
    smuggled = b"POST /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    for upgrade in (b"h2c", b"websocket", b"TLS/1.0", b"nonsense"):
        head = b"POST /a HTTP/1.1\r\n%bConnection: upgrade\r\nUpgrade: %b\r\nContent-Length: %d\r\n\r\n"
        answers = await ask(port, head % (HOST, upgrade, len(smuggled)) + smuggled + LAST)
        assert answers == [(200, b"POST /a " + smuggled), (200, b"POST /last hi")]


async def test_http_2_is_told_that_it_is_not_spoken(port: int) -> None:
    assert await ask(port, NGHTTP_UPGRADE + LAST) == [(200, b"OPTIONS /* "), (200, b"POST /last hi")]
    assert "HTTP/1.1" in refused(await ask(port, NGHTTP), 400)


# Requests that are none


@pytest.mark.parametrize(
    "request_", [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /a HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi",
        b"POST /a HTTP/1.1\r\nHost: x\nContent-Length: 2\r\n\r\nhi",
        b"POST /a HTTP/1.1\r\nHost: x\rContent-Length: 2\r\n\r\nhi",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\nhi",
        b"POST /a HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\nhi",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nhi",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nhi",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\nhi\n0\n\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /a HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n",
        b"POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [b"", b"GET /before HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_what_is_no_http_is_told_so_in_json_and_nothing_of_it_is_the_next_request(
    port: int, before: bytes, request_: bytes
) -> None:
    answers = await ask(port, before + request_ + LAST)
    assert refused(answers, 400)
    assert answers[:-1] == [(200, b"GET /before ")][: bool(before)]


@pytest.mark.parametrize(
    ("request_", "status"), [
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 501),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /a\r\n\r\n", 505),
    ],
)  # fmt: skip
async def test_http_that_this_server_does_not_speak_is_told_so(port: int, request_: bytes, status: int) -> None:
    answers = await ask(port, request_ + LAST)
    assert refused(answers, status)
    assert len(answers) == 1


async def test_a_body_that_breaks_off_is_refused_and_the_application_told() -> None:
    told = asyncio.Event()

    async with serving(reading_until(told)) as port:
        refused(await ask(port, b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhixx\r\n"), 400)
        await told.wait()


async def test_blanks_around_a_value_are_no_part_of_it() -> None:
    seen: dict[bytes, bytes] = {}

    async def looks(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(headers_of(scope))
        await echo(scope, receive, send)

    async with serving(looks) as port:
        request = b"POST /a HTTP/1.1\r\nHost: x \t\r\nX-Mine: \t a b \t \r\nContent-Length: 2 \r\n\r\nhi"
        assert await ask(port, request + LAST) == [(200, b"POST /a hi"), (200, b"POST /last hi")]
    assert (seen[b"host"], seen[b"x-mine"]) == (b"x", b"a b")


async def test_trailers_change_no_headers() -> None:
    async def looks(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive, headers_of(scope), LIMIT)
        await send_answer(send, headers_of(scope).get(b"authorization", b"none"), [])

    async with serving(looks) as port:
        head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        answers = await ask(port, head + b"2\r\nhi\r\n0\r\nAuthorization: Bearer x\r\n\r\n" + LAST)
    assert answers == [(200, b"none")] * 2


# Large ones


@pytest.mark.parametrize(
    "head", [
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X" * 100_000,
        b"GET /" + b"a" * 5_000_000,
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" + b"X: a\r\n" * 20_000,
    ],
)  # fmt: skip
async def test_a_large_head_is_refused(port: int, head: bytes) -> None:
    assert "65536 bytes" in refused(await ask(port, head), 431)


@pytest.mark.parametrize("piece", [b"1\r\na\r\n", b"1;" + b"a" * 100_000 + b"\r\na\r\n", b"2;a=b\r\nhi\r\n"])
async def test_a_body_that_is_mostly_framing_is_refused(port: int, piece: bytes) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert "framing" in refused(await ask(port, head + piece * (400_000 // len(piece)) + b"0\r\n\r\n"), 400)


async def test_a_body_in_small_chunks_is_read(port: int) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answers = await ask(port, head + b"8\r\n12345678\r\n" * 50_000 + b"0\r\n\r\n" + LAST)
    assert answers == [(200, b"POST /a " + b"12345678" * 50_000), (200, b"POST /last hi")]


async def test_a_head_of_60_kb_is_read_beside_what_came_before_it(port: int) -> None:
    long = b"GET /long HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 60_000 + b"\r\n\r\n"
    upload = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000)
    answers = await ask(port, upload + long * 3 + LAST)
    assert [status for status, _ in answers] == [200] * 5


async def test_requests_without_end_wait_as_bytes_and_are_answered_in_their_order(port: int) -> None:
    requests = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(20_000)]
    answers = await ask(port, b"".join(requests) + LAST)
    assert [body for _, body in answers[:-1]] == [b"GET /%d " % number for number in range(20_000)]


async def test_who_waits_for_long_is_told_so_before_the_answer() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        send_interim(scope)
        await asyncio.sleep(0.05)
        await echo(scope, receive, send)

    async with serving(slow) as port:
        assert await ask(port, LAST) == [(100, b""), (200, b"POST /last hi")]


async def test_an_answer_instead_of_100_continue_ends_the_connection() -> None:
    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(send, b"no", [], 401)

    async with serving(refuses) as port:
        head = b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(LAST)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert await read_answer(reader) == (401, b"no")
        assert await reader.read() == b""  # or the next request would be taken for the body
        writer.close()
