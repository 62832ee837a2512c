"""Heads that come again on one connection: the parser may be left out, and nothing may be read otherwise for it."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.connection import ClientProtocol
from service.exchange import Exchange
from service.offload import LARGE
from service.repeated_head import RepeatedHead
from tests.unit.service.echo import WAYS, echo_by, serving
from tests.unit.service.raw_http import LAST, read_answer
from wire.headers import CONTENT_LENGTH

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WAYS)
async def port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    async with serving(echo_by(request.param)) as port:
        yield port


def post(body: bytes, path: bytes = b"/a", lines: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (path, lines, len(body), body)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths of the requests that the parser has seen."""
    found: list[bytes] = []
    parse = ClientProtocol.on_url

    def count(protocol: ClientProtocol, url: bytes) -> None:
        found.append(url)
        parse(protocol, url)

    monkeypatch.setattr(ClientProtocol, "on_url", count)
    return found


async def one_by_one(port: int, *requests: bytes) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bodies = []
    for request in requests:
        writer.write(request)
        status, body = await read_answer(reader)
        assert status == 200
        bodies.append(body)
    writer.close()
    return bodies


async def test_a_head_that_comes_again_is_not_parsed_again(parsed: list[bytes]) -> None:
    async with serving(echo_by("later")) as port:
        bodies = [b"%d" % 3**number for number in range(30)]
        answers = await one_by_one(port, *map(post, bodies), post(b"other", b"/b"), post(b"again"), post(b"agai2"))
    assert answers == [b"POST /a " + body for body in bodies] + [b"POST /b other", b"POST /a again", b"POST /a agai2"]
    # The first of a connection is not kept, and each that is another than the one before it is parsed.
    assert parsed == [b"/a", b"/a", b"/b", b"/a"]


async def test_a_body_that_looks_like_a_request_is_a_body(port: int) -> None:
    inner = post(b"hi", b"/inner")
    answers = await one_by_one(port, *[post(inner)] * 3, post(inner[:-1] + b"!"))
    assert answers == [b"POST /a " + inner] * 3 + [b"POST /a " + inner[:-1] + b"!"]


async def test_a_known_request_that_comes_as_a_piece_of_a_body_is_a_piece_of_a_body(port: int) -> None:
    known = post(b"abc")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(known)
        assert await read_answer(reader) == (200, b"POST /a abc")
    for piece in (post(known)[: -len(known)], known):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.001)
    assert await read_answer(reader) == (200, b"POST /a " + known)
    writer.close()


async def test_requests_that_came_in_one_piece_are_all_read_when_they_come_again(port: int) -> None:
    pair = post(b"one", b"/first") + post(b"two", b"/second")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(4):
        writer.write(pair)
        assert await read_answer(reader) == (200, b"POST /first one")
        assert await read_answer(reader) == (200, b"POST /second two")
    writer.close()


async def test_a_stream_cut_anywhere_is_answered_as_it_is_without_the_short_cut(port: int) -> None:
    """Few heads, so that they come again; pieces as the network might make them, some with a pause behind them."""
    chance = random.Random(7)
    for _ in range(30):
        asked = [
            (chance.choice([b"/a", b"/b"]), b"%d" % chance.randrange(10 ** chance.choice([1, 1, 6])))
            for _ in range(chance.randrange(1, 12))
        ]
        stream = b"".join(post(body, path, chance.choice([b"", b"", b"X: y\r\n"])) for path, body in asked) + LAST
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while stream:
            piece = chance.choice([1, 3, 40, 60, 62, 200, len(stream)])
            writer.write(stream[:piece])
            await writer.drain()
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
            stream = stream[piece:]
        for path, body in asked:
            assert await read_answer(reader) == (200, b"POST %b %b" % (path, body))
        assert await read_answer(reader) == (200, b"POST /last hi")
        writer.close()


@pytest.mark.parametrize("before", [b"\r\n\r\n", post(b"hi", b"/before"), b"tail\r\n\r\n"])
async def test_only_the_head_of_a_request_that_came_alone_is_kept(before: bytes) -> None:
    exchange = Exchange(None, None, {}, b"/a", {}, keep_alive=True)  # type: ignore[arg-type]
    exchange.add(b"hi")
    assert RepeatedHead.of(post(b"hi"), exchange) is not None
    assert RepeatedHead.of(before + post(b"hi"), exchange) is None
    assert RepeatedHead.of(post(b"hi", lines=b"X: %b\r\n" % (b"y" * 2000)), exchange) is None


@pytest.mark.parametrize(
    "data", [
        post(b"hi") + b"!",
        post(b"hi")[:-1],
        post(b"hi") + post(b"hi"),
        post(b"hi", b"/b"),
        post(b"hi").replace(b": 2", b": +2"),
        post(b"hi").replace(b": 2", b": 0000002"),
        post(b"hi").replace(b": 2", b": 2 "),
        post(b"hi").replace(b": 2", b": "),
        post(b"hi").replace(b": 2", b": 2\r\nX: y"),
        post(b"hi").replace(b": 2", b": 3"),
        post(b"hi").replace(b": 2", b": 99999999"),
        post(bytes(LARGE + 1)),
        b"",
        b"POST",
    ],
)  # fmt: skip
async def test_what_is_not_that_request_is_left_to_the_parser(data: bytes) -> None:
    exchange = Exchange(None, None, {}, b"/a", {CONTENT_LENGTH: b"2"}, keep_alive=True)  # type: ignore[arg-type]
    exchange.add(b"hi")
    known = RepeatedHead.of(post(b"hi"), exchange)
    assert known is not None
    assert known.find(data, None) is None  # type: ignore[arg-type]
    for body in (b"hello", bytes(LARGE)):
        longer = known.find(post(body), None)  # type: ignore[arg-type]
        assert longer is not None
        assert (longer.body, longer.headers) == (body, {CONTENT_LENGTH: b"%d" % len(body)})


async def test_a_body_that_comes_behind_its_head_needs_no_asgi_and_one_that_does_not_is_handed_over() -> None:
    handed_over = 0
    app = echo_by("at once")
    endpoint = app.fast_path_routes[0].app
    by_asgi = endpoint.__class__.__call__

    class Counting:
        begin = endpoint.begin

        async def __call__(self, *args: object) -> None:
            nonlocal handed_over
            handed_over += 1
            await by_asgi(endpoint, *args)

    app.fast_path_routes[0].app = Counting()
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head, body = post(b"hello")[:-5], b"hello"
        for _ in range(3):
            writer.write(head)
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(body)
            assert await read_answer(reader) == (200, b"POST /a hello")
        assert handed_over == 0
        writer.write(head + body[:2])
        while not handed_over:
            await asyncio.sleep(0.001)
        writer.write(body[2:])
        assert await read_answer(reader) == (200, b"POST /a hello")
        writer.close()
