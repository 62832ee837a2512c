"""A request for inference and its answer, independent of the protocol they came by."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wire.spans import Span
from wire.tensors import Tensor


@dataclass(slots=True)
class RequestedOutput:
    """An output that the client names; `binary` is None where it leaves the form to the request's default."""

    name: str
    binary: bool | None = None


@dataclass(slots=True)
class InferRequest:
    """`outputs` is empty where the client wants them all. `deadline` is a `time.monotonic()` in this process.

    A `suspect` was under way when the process that computed it died, so it is computed where that harms nobody; that
    takes longer than the model does, and `send_interim` is called before it begins.
    `members` is how many requests of clients it was merged of.
    `span` is there where the request's trace is recorded; `trace_headers` are header lines for whoever is asked on its
    behalf, with the trace that the client named.
    """

    model: str
    version: str | None
    inputs: list[Tensor]
    outputs: tuple[RequestedOutput, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    binary_output: bool = False
    deadline: float | None = None
    suspect: bool = False
    send_interim: Callable[[], None] | None = None
    members: int = 1
    span: Span | None = None
    trace_headers: bytes = b""


@dataclass(slots=True)
class InferResponse:
    """The outputs of one request, in the order in which it named them or else the model's.

    `parameters` is what a task says beside its tensors, such as the number of tokens it read. `encoded` is the body
    that it came as, and the length of that body's JSON, where it is the whole of one in binary form. `took_s` is what
    the worker took for it, where it has said so.
    """

    model: str
    version: str
    outputs: tuple[Tensor, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    encoded: tuple[bytes | bytearray | memoryview, int] | None = field(default=None, compare=False)
    took_s: float | None = field(default=None, compare=False)
