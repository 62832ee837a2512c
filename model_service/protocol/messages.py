"""A request for inference and its answer, independent of the protocol they came by."""

from dataclasses import dataclass, field
from typing import Any

from model_service.protocol.tensors import Tensor


@dataclass(slots=True, frozen=True)
class RequestedOutput:
    """An output that the client names; `binary` is None where it leaves the form to the request's default."""

    name: str
    binary: bool | None = None


@dataclass(slots=True)
class InferRequest:
    """`outputs` is empty where the client wants them all. `deadline` is a `time.monotonic()` in this process."""

    model: str
    version: str | None
    inputs: list[Tensor]
    outputs: tuple[RequestedOutput, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    binary_output: bool = False
    deadline: float | None = None


@dataclass(slots=True, frozen=True)
class InferResponse:
    """The outputs of one request, in the order in which it named them or else the model's.

    `parameters` is what a task says beside its tensors, such as the number of tokens it read.
    """

    model: str
    version: str
    outputs: tuple[Tensor, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
