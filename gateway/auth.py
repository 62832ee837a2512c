"""Who may use the admin API: whoever has the token, or, where none is set, whoever sits at this machine."""

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from model_service.protocol.errors import Forbidden, Unauthorized

_bearer = HTTPBearer(auto_error=False, description="The admin token, `HEADRACE_ADMIN_TOKEN`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
AdminAccess = Callable[..., Awaitable[None]]


def admin_access(token: str | None, host: str) -> AdminAccess:
    """The FastAPI dependency for routes that change things. `host` is what the gateway listens on."""
    return TokenAccess(token) if token else LocalAccess(host)


class TokenAccess:
    """Raises Unauthorized unless the request brings the token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def __call__(self, credentials: Credentials) -> None:
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
