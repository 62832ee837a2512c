"""Answers with an entry for each model, written one at a time so that other requests are served in between."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from gateway.api.errors import request_id
from service.turns import Breath

T = TypeVar("T")


async def json_list(request: Request, entries: Iterable[T], write: Callable[[T], bytes]) -> Response:
    """The answer that is a JSON array of what `write` makes of each of `entries`."""
    breath = Breath()
    written = []
    for entry in entries:
        written.append(write(entry))
        await breath()
    return json_answer(request, b"[" + b",".join(written) + b"]")


def json_answer(request: Request, content: bytes) -> Response:
    """The answer that is this JSON."""
    return Response(content, media_type="application/json", headers={"x-request-id": request_id(request)})
