"""A circuit breaker: after some failures in a row, leave the failing thing alone for a while."""

from collections.abc import Callable
from enum import IntEnum
from time import monotonic


class State(IntEnum):
    CLOSED = 0  # all is well
    HALF_OPEN = 1  # one call is trying whether it is well again
    OPEN = 2  # no calls


class Breaker:
    """Opens after `failures` in a row; after `open_s` seconds it lets one call through, which closes it or doesn't.

    After a call for which `allow()` was true, call `record_success()` or `record_failure()`. A probe of which neither
    is ever said is given up after another `open_s`.
    """

    def __init__(self, failures: int, open_s: float, clock: Callable[[], float] = monotonic) -> None:
        self.state = State.CLOSED
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._probe_at = 0.0

    def allow(self) -> bool:
        """Whether a call may be made now."""
        if self.state is State.CLOSED:
            return True
        now = self._clock()
        if now < self._probe_at:
            return False
        self.state = State.HALF_OPEN
        self._probe_at = now + self._open_s
        return True

    def record_success(self) -> None:
        # A call from before the breaker opened may come back late; it too says that things are well again.
        self.state = State.CLOSED
        self._failures = 0

    def record_failure(self) -> bool:
        """Count a failure; true where this one opened the breaker."""
        self._failures += 1
        if self.state is State.OPEN or self._failures < self._limit:
            return False
        opened = self.state is State.CLOSED
        self.state = State.OPEN
        self._probe_at = self._clock() + self._open_s
        return opened
