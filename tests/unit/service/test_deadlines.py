"""Deadlines that share timers."""

import asyncio
from collections.abc import Callable
from time import monotonic

from service.deadlines import SLOT_S, Deadlines


class Waiting:
    """Notes when it expired, and tells how many have."""

    def __init__(self, told: asyncio.Semaphore) -> None:
        self.at: float | None = None
        self._told = told

    def expire(self) -> None:
        self.at = monotonic()
        self._told.release()


def at_once(call: Callable[[], object]) -> None:
    call()


async def test_none_expires_before_its_deadline_and_each_does_after_it() -> None:
    deadlines, told, now = Deadlines(at_once), asyncio.Semaphore(0), monotonic()
    waiting = {now + n * SLOT_S / 3: Waiting(told) for n in range(-3, 20)}
    for deadline, one in waiting.items():
        deadlines.add(deadline, one)
    for _ in waiting:
        await told.acquire()
    assert all(one.at is not None and one.at >= deadline for deadline, one in waiting.items())


async def test_what_is_discarded_does_not_expire() -> None:
    deadlines, told, now = Deadlines(at_once), asyncio.Semaphore(0), monotonic()
    gone, stays = Waiting(told), Waiting(told)
    for one in (gone, stays):
        slot = deadlines.add(now + SLOT_S, one)
        if one is gone:
            slot.discard(one)
    await told.acquire()
    assert (gone.at, stays.at is not None) == (None, True)


async def test_those_that_expire_together_are_left_to_whom_it_was_given() -> None:
    calls: list[Callable[[], object]] = []
    deadlines, told = Deadlines(calls.append), asyncio.Semaphore(0)
    for _ in range(100):
        deadlines.add(monotonic(), Waiting(told))
    while len(calls) < 100:
        await asyncio.sleep(0.001)
    assert told.locked(), "they were called at once"
