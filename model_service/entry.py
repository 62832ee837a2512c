"""An item that waits before an engine."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from model_service.tasks.base import Item

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """An item that waits, and `owner`, to whom its result goes. `arrived` is monotonic seconds."""

    item: Item
    owner: T
    index: int
    arrived: float
    number: int = -1  # its place in the order of arrival; -1 once it no longer waits

    @property
    def cost(self) -> int:
        """What running it takes: tokens, or rows where there are none."""
        return self.item.rows * max(self.item.length, 1)
