"""What a protocol makes of a request's body, and of its answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.pipeline import Answer
from service.asgi import Headers
from service.bodies import Body
from wire.messages import InferRequest

Rendered = tuple[bytes, list[tuple[bytes, bytes]]]  # a body, and the headers that describe it


@dataclass(slots=True)
class Question:
    """A request, and how its answer looks in the protocol that it came by.

    `version` is the one that was asked for, None where routes decide. With `wait`, a model that is not loaded yet is
    waited for, until the deadline.
    """

    request: InferRequest
    render: Callable[[Answer], Rendered]
    version: str | None = None
    no_cache: bool = False
    wait: bool = False


class Decode(Protocol):
    """Reads one protocol's body. Of the headers it looks at INFERENCE_HEADER_CONTENT_LENGTH alone.

    Raises InvalidInput, ModelNotFound, TooLarge.
    """

    def __call__(self, path: Mapping[str, str], headers: Headers, body: Body) -> Question: ...
