"""What became of one request for a value: for whoever traces it, and nobody else asks."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(slots=True, eq=False)
class Lookup:
    """Filled in while `get_or_compute` goes on; times are monotonic seconds. `owner` is the asker's own business.

    Who joins what another one has begun learns that one's owner, and nothing about stores.
    """

    owner: Any
    outcome: Literal["hit", "miss", "join"] | None = None  # None while it goes on
    store: Literal["memory", "redis"] | None = None  # where a hit was found
    joined: Any = None
    asked: float | None = None  # when the shared store was
    answered: float | None = None  # and when it had answered
    waited: bool = False  # for another process, which was computing the same
    decided: float | None = None  # when the outcome was known; a miss is computed from then on
