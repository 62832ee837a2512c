"""Inference routes are called before any middleware, all others behind it."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import httpx
from starlette.middleware import Middleware
from starlette.routing import Route

from service.answers import send_answer
from service.asgi import Receive, Scope, Send
from service.fast_path import FastPathApplication
from tests.unit.service.echo import serving


async def test_routes_of_the_fast_path_are_called_without_the_middleware_and_all_others_with_it() -> None:
    async def tell(scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(send, f"{sorted(scope['path_params'].items())} {scope.get('passed')}".encode(), [])

    def middleware(app: Any) -> Any:
        async def passing(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "passed": True}, receive, send)

        return passing

    endpoint = cast(Any, ASGI(tell))
    fast = [Route("/fast/{name}", endpoint, methods=["POST"])]
    app = FastPathApplication(routes=[*fast, Route("/other/{name}", endpoint)], middleware=[Middleware(middleware)])
    app.fast_path_routes = fast
    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        assert (await client.post("/fast/a%20b")).text == "[('name', 'a b')] None"
        assert (await client.get("/other/a")).text == "[('name', 'a')] True"
        assert (await client.get("/fast/a")).status_code == 405
        assert (await client.post("/fast/a/b")).status_code == 404


class ASGI:
    """An object, as the endpoints are: of a function Starlette would make something else."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
