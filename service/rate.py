"""How often something may happen."""

from collections.abc import Callable
from time import monotonic


class Rate:
    """`per_s` times a second in the long run, `burst` times at once."""

    __slots__ = ("_burst", "_clock", "_left", "_per_s", "_seen")

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = monotonic) -> None:
        self._per_s = per_s
        self._burst = self._left = burst
        self._clock = clock
        self._seen = clock()

    def take(self) -> bool:
        """Whether it may happen now, once."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._seen) * self._per_s)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
