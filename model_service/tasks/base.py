"""What every task is to the batcher: it cuts a request into items, and makes its answer from what they became.

    request --prepare--> items --(batcher)--> collate --engine--> scatter --> results --respond--> tensors

An item is what may share a batch with others: one text, or a block of rows of raw tensors. All four run in the event
loop, or in a thread where that would be held up: `prepare` and `respond` where a request brings many BYTES, `collate`
and `scatter` where a batch's arrays have many bytes. So whatever takes long must grow with those. None of them
keeps state.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from model_service.engines.base import Arrays
from wire.messages import InferRequest
from wire.tensors import Tensor


@dataclass(slots=True, eq=False)
class Ran:
    """When a batch ran, in monotonic seconds: collated from `began` on, in the engine until `ended`, then scattered."""

    began: float
    collated: float = 0.0
    ended: float = 0.0
    scattered: float = 0.0


@dataclass(slots=True)
class Item:
    """`rows` rows for the engine, each `length` tokens long (0 where length means nothing).

    Only items of equal `group` share a batch: for raw tensors, the shape of a row. `ran` is when it last did.
    """

    features: Arrays
    rows: int = 1
    length: int = 0
    group: Hashable = None
    ran: Ran | None = None


@dataclass(slots=True)
class Answer:
    """The public output tensors of one request, and what is said beside them (the tokens read, for example)."""

    outputs: list[Tensor]
    parameters: dict[str, Any] = field(default_factory=dict)


class Task(Protocol):
    """A family of models, for one loaded model."""

    def rows(self, request: InferRequest) -> int:
        """How many rows the items will have, told without any work and before anything is checked."""
        ...

    def prepare(self, request: InferRequest) -> list[Item]:
        """The request's items, in the order of its rows. Raises InvalidInput where it does not fit the model."""
        ...

    def collate(self, items: Sequence[Item]) -> Arrays:
        """One batch for the engine: the items' rows one below the other, padded to the longest."""
        ...

    def scatter(self, items: Sequence[Item], outputs: Arrays) -> list[Any]:
        """One result for each item: what the engine made of its rows, independent of the neighbours' padding."""
        ...

    def respond(self, request: InferRequest, items: Sequence[Item], results: Sequence[Any]) -> Answer:
        """The answer to the request that the items came from; all public outputs, in the manifest's order."""
        ...
