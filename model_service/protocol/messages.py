"""A request for inference and its answer, independent of the protocol they came by."""

from dataclasses import dataclass, field
from typing import Any

from model_service.protocol.tensors import Tensor
from model_service.protocol.tracing import Span


@dataclass(slots=True, frozen=True)
class RequestedOutput:
    """An output that the client names; `binary` is None where it leaves the form to the request's default."""

    name: str
    binary: bool | None = None


@dataclass(slots=True)
class InferRequest:
    """`outputs` is empty where the client wants them all. `deadline` is a `time.monotonic()` in this process.

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
    span: Span | None = None
    trace_headers: bytes = b""


@dataclass(slots=True, frozen=True)
class InferResponse:
    """The outputs of one request, in the order in which it named them or else the model's.

    `parameters` is what a task says beside its tensors, such as the number of tokens it read.
    """

    model: str
    version: str
    outputs: tuple[Tensor, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
