"""The router of what changes things: its routes ask who may before a body is read, and their bodies are limited."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from gateway.auth import AdminAccess, TokenAccess, bearer
from gateway.json_request import JsonRequest
from wire.json_body import DEFAULT, JsonLimits

MAX_JSON_BYTES: Final = 64 << 10  # of what is not said to take more


def guarded_router(access: AdminAccess, limits: JsonLimits = DEFAULT, **options: Any) -> APIRouter:
    """A router for what changes things: its routes ask `access` first, and take bodies of `MAX_JSON_BYTES` at most
    unless they say otherwise. JSON has `limits` as well. `options` are APIRouter's."""

    class GuardedRoute(APIRoute):
        # Not as a dependency: FastAPI reads and parses the body before it asks those.
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def answer_if_allowed(request: Request) -> Response:
                await access(request)
                return await answer(JsonRequest(request, limits))

            return answer_if_allowed

    # The dependency refuses nobody: it tells OpenAPI which token there is.
    described = [Depends(bearer)] if isinstance(access, TokenAccess) else []
    return APIRouter(route_class=GuardedRoute, dependencies=described, max_body_size=MAX_JSON_BYTES, **options)
