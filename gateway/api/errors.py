"""Every error's body is `{"error": "<a sentence>"}`, on every path: clients of `/v2` read no other shape.

But for `/v1`, where OpenAI's clients look for the sentence in `error.message`.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import compile_path

from model_service.protocol import errors, headers
from model_service.protocol.errors import ServingError
from model_service.protocol.http import Receive, Scope, Send, send_error
from model_service.protocol.status import http_status
from storage import errors as storage
from storage.errors import StorageError

log = logging.getLogger(__name__)

_OF_STORAGE: Final[dict[type[StorageError], type[ServingError]]] = {
    storage.UnknownModel: errors.ModelNotFound,
    storage.UnknownVersion: errors.ModelNotFound,
    storage.UnknownAlias: errors.NotFound,
    storage.InvalidAlias: errors.InvalidInput,
    storage.InvalidRoute: errors.InvalidInput,
    storage.InvalidArtifact: errors.InvalidInput,
    storage.CorruptFile: errors.InvalidInput,
    storage.MissingFile: errors.Conflict,
    storage.NothingToRollBackTo: errors.Conflict,
    storage.VersionInUse: errors.Conflict,
    storage.NotMigrated: errors.Unavailable,
    storage.Unavailable: errors.Unavailable,
}

MEANINGS: Final = {
    400: "The request is not right; `error` says what to change.",
    401: "The token is missing or wrong.",
    403: "This is not allowed from here.",
    404: "There is no such thing.",
    409: "It clashes with what is there.",
    413: "The body is too large.",
    415: "The content encoding is unknown.",
    429: "Too many requests at once; `Retry-After` says when to try again.",
    500: "Something that should not go wrong went wrong.",
    503: "Not ready; `Retry-After` says when to try again.",
    504: "The deadline passed.",
}


class Error(BaseModel):
    """What every error answers."""

    error: str = Field(description="What is wrong, and what to do about it.")


class OpenAIErrorDetails(BaseModel):
    message: str = Field(description="What is wrong, and what to do about it.")
    type: str
    param: None = None
    code: str


class OpenAIError(BaseModel):
    """What every error under `/v1` answers."""

    error: OpenAIErrorDetails


class ErrorAnswer:
    """An error, as the ASGI application that answers it."""

    def __init__(self, request: Request, error: ServingError, extra: Mapping[bytes, bytes] | None = None) -> None:
        self._error = error
        self._headers = [(headers.REQUEST_ID, request_id(request).encode("latin-1")), *(extra or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(scope, send, self._error, self._headers)


async def refuse(scope: Scope, send: Send, error: ServingError, extra: Sequence[tuple[bytes, bytes]]) -> None:
    """Answer `error` in the shape that its path's clients read."""
    content = None
    if scope["path"].startswith("/v1/"):
        kind = "invalid_request_error" if http_status(error) < 500 else "server_error"
        details = {"message": str(error), "type": kind, "param": None, "code": type(error).__name__}
        content = {"error": details}
    await send_error(send, error, extra, content)


def install(app: FastAPI) -> None:
    """Have `app` answer every error in the one shape."""
    for kind, answer in (
        (ServingError, _serving),
        (StorageError, _storage),
        (HTTPException, _http),
        (RequestValidationError, _invalid),
        (ClientDisconnect, _gone),
        (Exception, _unexpected),
    ):
        app.exception_handler(kind)(answer)


def documented(*statuses: int, model: type[BaseModel] = Error) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for errors of these statuses."""
    return {status: {"model": model, "description": MEANINGS[status]} for status in statuses}


def request_id(request: Request) -> str:
    """The client's own id for this request, or one made up; the same for as long as the request lasts."""
    name = headers.REQUEST_ID.decode()
    known: str = request.scope.setdefault(name, request.headers.get(name) or os.urandom(8).hex())
    return known


def of_storage(error: StorageError) -> ServingError:
    """What a client is told when the registry or the artifact store refuses."""
    for cls in type(error).__mro__:
        if kind := _OF_STORAGE.get(cls):
            return kind(str(error), retry_after=1 if kind is errors.Unavailable else None)
    log.error("%s: %s", type(error).__name__, error)
    return ServingError("internal error")


async def _serving(request: Request, error: ServingError) -> ErrorAnswer:
    if isinstance(error, errors.Unauthorized):
        return ErrorAnswer(request, error, {b"www-authenticate": b'Bearer realm="headrace"'})
    return ErrorAnswer(request, error)


async def _storage(request: Request, error: StorageError) -> ErrorAnswer:
    return ErrorAnswer(request, of_storage(error))


async def _http(request: Request, error: HTTPException) -> ErrorAnswer:
    path = request.scope["path"]
    match error.status_code:
        case 404:
            return ErrorAnswer(request, errors.NotFound(f"there is no path {path}; /docs shows those that are"))
        case 405:
            allowed = ", ".join(_methods(request))
            refusal = errors.MethodNotAllowed(f"{path} takes {allowed}, not {request.method}")
            return ErrorAnswer(request, refusal, {b"allow": allowed.encode()})
        case 413:
            return ErrorAnswer(request, errors.TooLarge())
        case _:
            return ErrorAnswer(request, errors.InvalidInput(error.detail))


async def _invalid(request: Request, error: RequestValidationError) -> ErrorAnswer:
    return ErrorAnswer(request, errors.InvalidInput("; ".join(map(_sentence, error.errors()[:3]))))


async def _gone(request: Request, error: ClientDisconnect) -> ErrorAnswer:
    return ErrorAnswer(request, errors.ClientGone())


async def _unexpected(request: Request, error: Exception) -> ErrorAnswer:
    # uvicorn logs the traceback after this line, which says whose request it was.
    log.error("request %s failed", request_id(request))
    return ErrorAnswer(request, ServingError("internal error"))


def _sentence(problem: Mapping[str, Any]) -> str:
    """One of pydantic's errors: `body.alias: Input should be a valid string`."""
    if problem["type"] == "json_invalid":
        return f"the body is not JSON: {problem['ctx']['error']} at character {problem['loc'][-1]}"
    if isinstance(problem["input"], bytes):
        return "the body must be JSON, and say so: `Content-Type: application/json`"
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


def _methods(request: Request) -> list[str]:
    """What this path takes: each of the routes that share it knows only its own methods."""
    path = request.scope["path"]
    routes = iter_route_contexts(request.app.routes)
    matching = (route for route in routes if route.path and compile_path(route.path)[0].match(path))
    return sorted({method for route in matching for method in route.methods or ()})
