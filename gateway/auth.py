"""Who may use the admin API: whoever has the token, or, where none is set, whoever sits at this machine."""

import hmac
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from model_service.protocol.errors import Forbidden, Unauthorized

MAX_JSON_BYTES: Final = 4 << 20  # a manifest with the labels of tens of thousands of classes

_bearer = HTTPBearer(auto_error=False, description="The admin token, `HEADRACE_ADMIN_TOKEN`.")


def admin_access(token: str | None, host: str) -> "AdminAccess":
    """Who may change things. `host` is what the gateway listens on."""
    return TokenAccess(token) if token else LocalAccess(host)


def guarded(access: "AdminAccess", **options: Any) -> APIRouter:
    """A router for what changes things: its routes ask `access` first, and take bodies of `MAX_JSON_BYTES` at most
    unless they say otherwise. `options` are APIRouter's."""

    class GuardedRoute(APIRoute):
        # Not as a dependency: FastAPI reads and parses the body before it asks those.
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def answer_if_allowed(request: Request) -> Response:
                await access(request)
                return await answer(request)

            return answer_if_allowed

    # The dependency refuses nobody: it tells OpenAPI which token there is.
    described = [Depends(_bearer)] if isinstance(access, TokenAccess) else []
    return APIRouter(route_class=GuardedRoute, dependencies=described, max_body_size=MAX_JSON_BYTES, **options)


def actor_of(request: Request) -> str:
    """Who asked, as far as one token can tell: the address."""
    return request.client.host if request.client else ""


class TokenAccess:
    """Raises Unauthorized unless the request brings the token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def __call__(self, request: Request) -> None:
        credentials = await _bearer(request)
        if credentials is None:
            raise Unauthorized
        if not hmac.compare_digest(credentials.credentials.encode(), self._token):
            raise Unauthorized("this is not the token: send `Authorization: Bearer <token>`")


class LocalAccess:
    """Raises Forbidden unless the request can only come from this machine, and from no web page."""

    def __init__(self, host: str) -> None:
        self._host = host

    async def __call__(self, request: Request) -> None:
        if not is_loopback(self._host):
            raise Forbidden(f"the gateway listens on {self._host}, so this needs a token: set HEADRACE_ADMIN_TOKEN")
        # A page that is open in a browser here reaches loopback addresses too: by a name that leads here, or as a
        # request from its own origin.
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not is_loopback(_hostname("//" + host)) or (origin is not None and not is_loopback(_hostname(origin))):
            raise Forbidden("without a token this answers requests to a loopback address only, and from no web page")


AdminAccess = TokenAccess | LocalAccess


def is_loopback(host: str | None) -> bool:
    """Whether `host`, a name or an address, means this machine alone."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # brackets that hold no address
        return None
