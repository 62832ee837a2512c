"""Every error's body is `{"error": "<a sentence>"}`, on every path: clients of `/v2` read no other shape.

But for `/v1`, where OpenAI's clients look for the sentence in `error.message`.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.requests import ClientDisconnect, Request
from starlette.routing import compile_path

from service.answers import send_error
from service.asgi import Receive, Scope, Send, headers_of, id_of
from service.logs import FIELDS
from storage import errors as storage
from storage.errors import StorageError
from wire import errors, headers
from wire.errors import ServingError
from wire.status import http_status

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
    storage.AliasInUse: errors.Conflict,
    storage.NotMigrated: errors.Unavailable,
    storage.Unavailable: errors.Unavailable,
}

_REQUEST_ID: Final = "headrace.request_id"

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
    param: str | None = Field(None, description="Always null: `message` names what is wrong.")
    code: str


class OpenAIError(BaseModel):
    """What every error under `/v1` answers."""

    error: OpenAIErrorDetails


class ErrorAnswer:
    """An ASGI application that answers one error."""

    def __init__(self, request: Request, error: ServingError, extra: Mapping[bytes, bytes] | None = None) -> None:
        self._error = error
        self._headers = [(headers.REQUEST_ID, request_id(request).encode()), *(extra or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(scope, send, self._error, self._headers)


async def refuse(scope: Scope, send: Send, error: ServingError, extra: Sequence[tuple[bytes, bytes]]) -> None:
    """Answer `error` in the shape that its path's clients read."""
    await send_error(send, error, extra, _content(scope["path"], error))


def _content(path: str, error: ServingError) -> dict[str, Any] | None:
    """The body that this path's clients look for; None where it is the one shape."""
    if path.startswith("/v1/"):
        kind = "invalid_request_error" if http_status(error) < 500 else "server_error"
        details = {"message": str(error), "type": kind, "param": None, "code": type(error).__name__}
        return {"error": details}
    return None


def install(app: FastAPI) -> None:
    """Have `app` answer every error in the one shape."""
    for kind, answer in (
        (ServingError, _answer_serving_error),
        (StorageError, _answer_storage_error),
        (HTTPException, _answer_http_error),
        (RequestValidationError, _answer_invalid_request),
        (ClientDisconnect, _answer_disconnect),
        (Exception, _answer_unexpected),
    ):
        app.exception_handler(kind)(answer)


def error_responses(*statuses: int, model: type[BaseModel] = Error) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for errors of these statuses."""
    return {status: {"model": model, "description": MEANINGS[status]} for status in statuses}


def methods(app: FastAPI, path: str) -> set[str]:
    """The methods of all routes with this path; each route knows only its own."""
    matching = (r for r in iter_route_contexts(app.routes) if r.path and compile_path(r.path)[0].match(path))
    taken = {method for route in matching for method in route.methods or ()}
    return taken | ({"HEAD"} if "GET" in taken else set())


def request_id(request: Request) -> str:
    """What `request_id` says; the same for as long as the request lasts."""
    if (known := request.scope.get(_REQUEST_ID)) is None:
        known = request.scope[_REQUEST_ID] = id_of(headers_of(request.scope)).decode()
    return str(known)


def of_storage(error: StorageError) -> ServingError:
    """What a client is told when the registry or the artifact store refuses."""
    for cls in type(error).__mro__:
        if kind := _OF_STORAGE.get(cls):
            return kind(str(error), retry_after=1 if kind is errors.Unavailable else None)
    log.error("%s: %s", type(error).__name__, error)
    return ServingError("internal error")


async def _answer_serving_error(request: Request, error: ServingError) -> ErrorAnswer:
    if isinstance(error, errors.Unauthorized):
        return ErrorAnswer(request, error, {b"www-authenticate": b'Bearer realm="headrace"'})
    return ErrorAnswer(request, error)


async def _answer_storage_error(request: Request, error: StorageError) -> ErrorAnswer:
    return ErrorAnswer(request, of_storage(error))


async def _answer_http_error(request: Request, error: HTTPException) -> ErrorAnswer:
    path = request.scope["path"]
    match error.status_code:
        case 404:
            return ErrorAnswer(request, errors.NotFound(f"there is no path {path}; /docs shows those that are"))
        case 405:
            allowed = ", ".join(sorted(methods(request.app, path)))
            refusal = errors.MethodNotAllowed(f"{path} takes {allowed}, not {request.method}")
            return ErrorAnswer(request, refusal, {b"allow": allowed.encode()})
        case 413:
            limit = request.scope.get(MAX_BODY_SIZE_SCOPE_KEY)
            return ErrorAnswer(request, errors.TooLarge(f"the body has more than the {limit} bytes that {path} takes"))
        case _ if isinstance(error.__cause__, ServingError):  # what reading the body raised
            return ErrorAnswer(request, error.__cause__)
        case _:
            return ErrorAnswer(request, errors.InvalidInput(error.detail))


async def _answer_invalid_request(request: Request, error: RequestValidationError) -> ErrorAnswer:
    return ErrorAnswer(request, errors.InvalidInput("; ".join(map(_sentence, error.errors()[:3]))))


async def _answer_disconnect(request: Request, error: ClientDisconnect) -> ErrorAnswer:
    return ErrorAnswer(request, errors.ClientGone())


async def _answer_unexpected(request: Request, error: Exception) -> ErrorAnswer:
    # uvicorn logs the traceback after this line, which says whose request it was.
    log.error("a request failed", extra={FIELDS: {"request_id": request_id(request)}})
    return ErrorAnswer(request, ServingError("internal error"))


def _sentence(problem: Mapping[str, Any]) -> str:
    """One of pydantic's errors: `body.alias: Input should be a valid string`."""
    if problem["type"] == "json_invalid":
        return f"the body is not JSON: {problem['ctx']['error']} at character {problem['loc'][-1]}"
    if isinstance(problem["input"], bytes):
        return "the body must be JSON, and say so: `Content-Type: application/json`"
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
