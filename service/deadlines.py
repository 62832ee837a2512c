"""Deadlines by the thousand: hardly any is ever reached, so those that are near each other share one timer."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

SLOT_S: Final = 0.01


class Expiring(Protocol):
    """Something with a deadline."""

    def expire(self) -> None: ...


class Deadlines:
    """Has each that is added `expire` when its deadline has passed: never sooner, and up to `SLOT_S` later.

    `later` spreads calls over several turns of the loop, as each of them may have an error to answer.
    """

    def __init__(self, later: Callable[[Callable[[], object]], None]) -> None:
        self._later = later
        self._slots: dict[int, set[Expiring]] = {}

    def add(self, deadline: float, expiring: Expiring) -> set[Expiring]:
        """Watch `expiring` until `deadline`, in monotonic seconds, or until it is discarded from the set returned."""
        number = int(deadline / SLOT_S) + 1
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = set()
            asyncio.get_running_loop().call_later(max(0.0, number * SLOT_S - monotonic()), self._end, number)
        slot.add(expiring)
        return slot

    def _end(self, number: int) -> None:
        for expiring in self._slots.pop(number):
            self._later(expiring.expire)
