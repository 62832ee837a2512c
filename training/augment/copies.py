"""What augmentation makes."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Copy:
    """A new row, made of the one at `index`."""

    index: int
    row: dict[str, Any]
