"""Who may use the admin API: whoever has the token, or, where none is set, whoever sits at this machine."""

import asyncio
import hmac
import logging
from typing import Final

from fastapi import Request
from fastapi.security import HTTPBearer

from service.origin import hostname, is_loopback
from wire.errors import Forbidden, Unauthorized

# What a proxy adds, beside everything that begins with `x-forwarded-`.
_OF_PROXIES: Final = frozenset({"forwarded", "via", "x-real-ip", "x-envoy-external-address"})
WRONG_TOKEN_S: Final = 0.5  # before it is said: whoever guesses waits, whoever mistyped hardly notices
log = logging.getLogger(__name__)

bearer = HTTPBearer(auto_error=False, description="The admin token, `HEADRACE_ADMIN_TOKEN`.")


def admin_access(token: str | None, host: str) -> "AdminAccess":
    """Who may change things. `host` is what the gateway listens on."""
    return TokenAccess(token) if token else LocalAccess(host)


def actor_of(request: Request) -> str:
    """Who asked, as far as one token can tell: the address."""
    return request.client.host if request.client else ""


class TokenAccess:
    """Raises Unauthorized unless the request brings the token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def __call__(self, request: Request) -> None:
        credentials = await bearer(request)
        if credentials is None:
            raise Unauthorized
        if not hmac.compare_digest(credentials.credentials.encode(), self._token):
            log.warning("a wrong token came from %s", actor_of(request))
            await asyncio.sleep(WRONG_TOKEN_S)
            raise Unauthorized("this is not the token: send `Authorization: Bearer <token>`")


class LocalAccess:
    """Raises Forbidden unless the request can only come from this machine, and from no web page that is not listed.

    Of web pages the application's OriginCheck has refused all but those.
    """

    def __init__(self, host: str) -> None:
        self._host = host

    async def __call__(self, request: Request) -> None:
        if not is_loopback(self._host):
            raise Forbidden(f"the gateway listens on {self._host}, so this needs a token: set HEADRACE_ADMIN_TOKEN")
        if not is_loopback(hostname("//" + request.headers.get("host", ""))):
            raise Forbidden(
                "without a token this answers requests to a loopback address only: set HEADRACE_ADMIN_TOKEN"
            )
        if (proxied := next(filter(_tells_of_a_proxy, request.headers), None)) is not None:
            raise Forbidden(
                f"a proxy handed this on, as {proxied} says, so it may come from anywhere: set HEADRACE_ADMIN_TOKEN"
            )


def _tells_of_a_proxy(header: str) -> bool:
    return header in _OF_PROXIES or header.startswith("x-forwarded-")


AdminAccess = TokenAccess | LocalAccess
