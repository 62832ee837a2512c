"""What happened in one lookup, noted down for tracing alone."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(slots=True, eq=False)
class Lookup:
    """Filled in by `fetch_or_compute`; times are monotonic seconds. `owner` is what others find in `joined`.

    For a request that joins another one's computation, `joined` is that one's owner, and nothing is said of stores.
    """

    owner: Any
    outcome: Literal["hit", "miss", "join"] | None = None  # None while it goes on
    store: Literal["shared"] | None = None  # where a hit was found
    joined: Any = None
    asked: float | None = None  # when the shared store was
    answered: float | None = None  # and when it had answered
    waited: bool = False  # for another process, which was computing the same
    decided: float | None = None  # when the outcome was known; a miss is computed from then on
