"""How often something happened and how long it took, to be added up."""

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """How often, and how many seconds altogether."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds
