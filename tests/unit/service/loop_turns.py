"""In which turn of the event loop something happens: whoever waits for the loop waits for one of them at most."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class LoopTurns:
    """Counts the turns of the running loop, and what `happened` in each."""

    def __init__(self) -> None:
        self.number = 0
        self.counting = True
        self._happened: Counter[int] = Counter()

    def happened(self, *_: object) -> None:
        self._happened[self.number] += 1

    @property
    def each(self) -> list[int]:
        """How much happened in each turn in which something did."""
        return list(self._happened.values())


@contextmanager
def counting_turns() -> Iterator[LoopTurns]:
    turns, loop = LoopTurns(), asyncio.get_running_loop()

    def turn() -> None:
        turns.number += 1
        if turns.counting:
            loop.call_soon(turn)

    loop.call_soon(turn)
    try:
        yield turns
    finally:
        turns.counting = False
