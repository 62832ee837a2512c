"""An application that tells what it was asked, behind a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import uvicorn
from starlette.routing import Mount, Route

from service.answers import send_answer
from service.asgi import Receive, Scope, Send, headers_of
from service.bodies import read_body
from service.exchange import Exchange
from service.fast_path import FastPathApplication
from service.limits import ConnectionLimits
from service.server import config, listen
from wire.errors import ClientGone

LIMIT: Final = 1 << 20


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the method, the path and the body."""
    try:
        body = await read_body(receive, headers_of(scope), LIMIT)
    except ClientGone:
        return
    await send_answer(send, b"%b %b %b" % (scope["method"].encode(), scope["path"].encode(), bytes(body)), [])


def reading_until(gone: asyncio.Event) -> Any:
    """An application that reads a body, and sets `gone` where its client leaves half way."""

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await read_body(receive, headers_of(scope), LIMIT)
        except ClientGone:
            gone.set()

    return read


class EchoEndpoint:
    """`echo`, and what it is without ASGI: at once, a moment later, or handed over to it after all."""

    def __init__(self, way: str) -> None:
        self._way = way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)

    def begin(self, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        match self._way:
            case "at once":
                self._respond(exchange)
            case "later":
                loop.call_later(0.001, self._respond, exchange)
            case "handed over":
                exchange.serve_by_application()
            case "handed over later":
                loop.call_later(0.001, exchange.serve_by_application)

    def _respond(self, exchange: Exchange) -> None:
        exchange.respond(200, b"", b"POST %b %b" % (exchange.url, exchange.body))


WAYS: Final = ("ASGI", "at once", "later", "handed over", "handed over later")


def echo_by(way: str) -> Any:
    """An application that answers as `echo` does."""
    if way == "ASGI":
        return echo
    app = FastPathApplication(routes=[Mount("/", echo)])
    app.fast_path_routes = [Route("/{path:path}", cast(Any, EchoEndpoint(way)), methods=["POST"])]
    return app


@asynccontextmanager
async def serving(app: Any = echo, **limits: Any) -> AsyncIterator[int]:
    """The port on which it answers."""
    listening = listen("127.0.0.1", 0)
    port: int = listening.getsockname()[1]
    server = uvicorn.Server(config(app, "127.0.0.1", port, drain_s=5, limits=ConnectionLimits(**limits)))
    task = asyncio.create_task(server.serve([listening]))
    try:
        yield port
    finally:
        while not server.started:
            await asyncio.sleep(0.01)
        server.should_exit = True
        await task
