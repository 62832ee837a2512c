"""The fast path: inference routes are matched and called before any middleware, all other requests pass through it."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import Route

from service.answers import send_error
from service.asgi import Headers, Receive, Scope, Send, headers_of
from service.exchange import Begin, Found, is_small
from service.heads import path_of, target
from service.origin import PREFLIGHT, OriginCheck, allow_origin, answer_preflight
from wire import headers as names
from wire.errors import Forbidden, ServingError

# Headers by which a request asks for what an exchange does not do.
_ELABORATE: Final = frozenset({names.TRANSFER_ENCODING, names.CONTENT_ENCODING, names.EXPECT, names.ORIGIN})
# So many paths, of so many bytes, are matched once: models have fewer, and clients could fill the memory.
_KNOWN_PATHS: Final = 10_000
_KNOWN_BYTES: Final = 256


class FastPathApplication(Starlette):
    """A Starlette, or with FastAPI as a second base a FastAPI, that calls the endpoints of `fast_path_routes` directly.

    These are ASGI objects that answer all their errors themselves. The middleware that all other requests pass costs as
    much as they do, so it is left out. Before either, `origins` checks which site the request comes from.
    """

    fast_path_routes: Sequence[Route] = ()
    origins = OriginCheck("")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known: dict[bytes, Found] = {}

    def find_exchange(self, url: bytes, headers: Headers) -> Found | None:
        """How to begin a POST to `url` without ASGI, and its path's parameters.

        None where its head asks for more than a small body and a plain answer, or where the path is no inference
        route's: then the application is called.
        """
        length = headers.get(names.CONTENT_LENGTH)
        if length is None or not is_small(length) or not _ELABORATE.isdisjoint(headers):
            return None
        try:
            self.origins.check(headers)
        except Forbidden:
            return None
        path = url.partition(b"?")[0] if b"?" in url else url
        if (found := self._known.get(path)) is None:
            route, params = self._match(path_of(target(path)[0]))
            begin: Begin | None = getattr(route and route.app, "begin", None)
            if begin is None:
                return None
            found = begin, params
            if len(path) <= _KNOWN_BYTES:
                if len(self._known) >= _KNOWN_PATHS:
                    self._known.clear()
                self._known[path] = found
        return found

    def _match(self, path: str) -> tuple[Route | None, dict[str, str]]:
        """The inference route of that path, if it is one, and the path's parameters."""
        for route in self.fast_path_routes:
            if found := route.path_regex.match(path):
                return route, found.groupdict()
        return None, {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = headers_of(scope)
            try:
                self.origins.check(headers)
            except Forbidden as error:
                return await self.refuse(scope, send, error)
            if self.origins.lists(headers):
                if scope["method"] == "OPTIONS" and PREFLIGHT in headers:
                    return await answer_preflight(send, headers)
                send = allow_origin(send, headers)
            if scope["method"] == "POST":
                route, params = self._match(scope["path"])
                if route is not None:
                    scope["path_params"] = params
                    return await route.app(scope, receive, send)
        await self.others(scope, receive, send)

    async def others(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is not on the fast path."""
        await super().__call__(scope, receive, send)

    async def refuse(self, scope: Scope, send: Send, error: ServingError) -> None:
        """Answer `error`, in the shape that the clients of the path read."""
        await send_error(send, error)
