"""Spreads work that comes by the thousand over several turns of the event loop, so that other work runs in between."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from sys import maxsize
from time import monotonic
from typing import Final, TypeVar

SLICE_S: Final = 0.005  # of one turn of the event loop
AT_ONCE: Final = 16  # of what is cheap to begin, and costs more in the turn after that

LONG_S: Final = 0.02  # a turn that takes longer has begun too much

T = TypeVar("T")


def in_turns(
    items: Iterator[T],
    do: Callable[[T], object],
    *,
    at_once: int = maxsize,
    then: Callable[[], object] = lambda: None,
) -> None:
    """Have each of `items` done, and `then` called, in as many turns of the loop as it takes; the first is this one."""
    until = monotonic() + SLICE_S
    for done, item in enumerate(items, start=1):
        do(item)
        if done >= at_once or monotonic() >= until:
            asyncio.get_running_loop().call_soon(lambda: in_turns(items, do, at_once=at_once, then=then))
            return
    then()


class Turns:
    """A few calls in a turn of the loop, for what comes from many sides at once.

    As many as `most`, while turns with so many are short: what a call begins costs more, in the turn after it.
    """

    def __init__(self, most: int = AT_ONCE) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._most = self._at_once = most
        self._turn = -1.0
        self._begun = 0

    def has_room(self, turn: float) -> bool:
        """Whether one more may do now what the others do in the same turn, or had better be added. `turn` is the
        loop's time, which in uvloop stands still during a turn."""
        if self._waiting:
            return False
        if turn != self._turn:
            self._turn, self._begun = turn, 1
            return True
        self._begun += 1
        return self._begun <= self._at_once

    def add(self, call: Callable[[], object]) -> None:
        """Have it called in one of the turns that follow."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._take)
        self._waiting.append(call)

    def _take(self) -> None:
        loop = asyncio.get_running_loop()
        took, self._turn = loop.time() - self._turn, loop.time()
        fits = self._at_once // 2 if took > LONG_S else self._at_once * 2
        self._at_once = min(max(fits, AT_ONCE), self._most)
        for _ in range(min(self._at_once, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            loop.call_soon(self._take)


class Breath:
    """`await breath()` in a long piece of work lets all else go on, where the work has taken long enough by then."""

    def __init__(self) -> None:
        self._until = monotonic() + SLICE_S

    async def __call__(self) -> None:
        if monotonic() >= self._until:
            await asyncio.sleep(0)
            self._until = monotonic() + SLICE_S
