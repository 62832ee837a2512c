"""The queue before an engine: requests take turns, and batches are formed of entries of similar length.

Of the requests that wait, each gets an equal share of the tokens that are run (of the rows, where there are no tokens),
so that a small one is not held up by the thousand rows that came before it. This is weighted fair queueing (Demers,
Keshav and Shenker, 1989) with a request as a flow: a virtual clock shows what a request that waited all along would
have been served by now, and whoever was served least by that clock is next. Who goes with it is chosen in `window`.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Final, Generic, TypeVar

from model_service.entry import Entry
from model_service.window import Candidate, choose_window
from storage.manifest import Batching

T = TypeVar("T")

# Where more wait than this many times what a batch may have, it is chosen among that many of them or half, those that
# have waited for most. A wider choice makes batches of one length, and lets a text of a rare length wait.
CHOICE: Final = 1.5


@dataclass(slots=True, eq=False)
class _Flow(Generic[T]):
    """One owner's entries in the order they came; `waiting` of them still wait. `turn` is by the virtual clock."""

    turn: float
    waiting: int = 0
    entries: deque[Entry[T]] = field(default_factory=deque)


class Queue(Generic[T]):
    """Forms batches: the entry whose turn it is, with the entries of its group that are nearest to it in length."""

    def __init__(self, settings: Batching) -> None:
        self._limits = settings
        self._groups: dict[Hashable, list[Candidate]] = {}
        self._flows: dict[T, _Flow[T]] = {}
        self._turns: list[tuple[float, int, _Flow[T]]] = []  # a heap; outdated ones are removed when they are met
        self._pushed = count()  # of flows with the same turn, the one that was pushed first
        self._clock = 0.0
        self._last = self._length = 0
        self.rows = 0

    def __len__(self) -> int:
        return self._length

    @property
    def first(self) -> Entry[T]:
        """The entry whose turn it is."""
        turn, _, flow = self._turns[0]
        while not flow.waiting or flow.turn != turn:
            heappop(self._turns)
            turn, _, flow = self._turns[0]
        while flow.entries[0].number < 0:
            flow.entries.popleft()
        return flow.entries[0]

    @property
    def fills_a_batch(self) -> bool:
        """Whether the next batch is as large as it may be, so that nothing that comes could join it."""
        batch = self._next()
        longest, number, last = batch[-1]
        waiting = self._groups[last.item.group]
        rows = sum([entry.item.rows for _, _, entry in batch])
        # An entry of the same length that already waits did not fit; a new one of that length comes after it.
        after = bisect_left(waiting, (longest, number)) + 1
        more = waiting[after][2].item.rows if after < len(waiting) and waiting[after][0] == longest else 1
        return rows + more > self._limits.max_rows or 0 < self._limits.max_tokens < (rows + more) * longest

    def entries(self) -> Iterable[Entry[T]]:
        """All that wait."""
        return [entry for flow in self._flows.values() for entry in flow.entries if entry.number >= 0]

    def add(self, entry: Entry[T]) -> None:
        self._last += 1
        entry.number = self._last
        item = entry.item
        if (flow := self._flows.get(entry.owner)) is None:
            flow = self._flows[entry.owner] = _Flow(self._clock)
            heappush(self._turns, (flow.turn, next(self._pushed), flow))
        flow.entries.append(entry)
        flow.waiting += 1
        insort(self._groups.setdefault(item.group, []), (item.length, entry.number, entry))
        self.rows += item.rows
        self._length += 1

    def discard(self, entry: Entry[T]) -> None:
        """Take `entry` out, if it still waits."""
        if entry.number < 0:
            return
        self._remove([(entry.item.length, entry.number, entry)])

    def take(self, wanted: Callable[[T], bool]) -> list[Entry[T]]:
        """Remove the next batch and return it, sorted by length. Empty where nothing waits.

        Entries whose owner is not `wanted` any more are removed first, so that they take no place in the batch.
        """
        while self._length:
            batch = self._next()
            unwanted = [entry for _, _, entry in batch if not wanted(entry.owner)]
            if not unwanted:
                flows = len(self._flows)
                self._remove(batch)
                entries = [entry for _, _, entry in batch]
                self._charge(entries, flows)
                return entries
            for entry in unwanted:
                self.discard(entry)
        return []

    def _next(self) -> Sequence[Candidate]:
        """The entry whose turn it is, and those that go with it, by length."""
        first = self.first
        waiting = self._groups[first.item.group]
        if len(waiting) == 1:  # as it is most of the time
            return [*waiting]
        waiting = self._choose_among(waiting)
        return choose_window(
            waiting, bisect_left(waiting, (first.item.length, first.number)), self._limits, self._waited
        )

    def _choose_among(self, waiting: list[Candidate]) -> list[Candidate]:
        """Those of a group that may leave next: where many wait, the ones that have waited for most."""
        enough = max(int(CHOICE * self._limits.max_rows), len(waiting) // 2)
        if len(waiting) <= enough or waiting[0][0] == waiting[-1][0]:
            return waiting
        turns = [self._flows[entry.owner].turn for _, _, entry in waiting]
        late = sorted(turns)[enough - 1]
        return [one for one, turn in zip(waiting, turns, strict=True) if turn <= late]

    def _waited(self, entry: Entry[T]) -> float:
        """What would have run for its owner by now, had its share been run, less what did."""
        return max(self._clock - self._flows[entry.owner].turn, 0.0)

    def _charge(self, batch: list[Entry[T]], flows: int) -> None:
        """Put off the next turn of the owners by what ran for them, and advance the clock by that cost over `flows`."""
        self._clock += sum([entry.cost for entry in batch]) / flows
        waiting = {}
        for entry in batch:
            if (flow := self._flows.get(entry.owner)) is not None:
                flow.turn += entry.cost
                waiting[entry.owner] = flow
        for flow in waiting.values():
            heappush(self._turns, (flow.turn, next(self._pushed), flow))

    def _remove(self, batch: Sequence[Candidate]) -> None:
        """Take out entries of one group, which are in order and mostly side by side."""
        group = batch[0][2].item.group
        waiting = self._groups[group]
        for _, _, entry in batch:
            entry.number = -1
            self.rows -= entry.item.rows
            flow = self._flows[entry.owner]
            flow.waiting -= 1
            if not flow.waiting:
                del self._flows[entry.owner]
        low, high = bisect_left(waiting, batch[0]), bisect_left(waiting, batch[-1]) + 1
        waiting[low:high] = [one for one in waiting[low:high] if one[2].number >= 0]
        if not waiting:
            del self._groups[group]
        self._length -= len(batch)
        if not self._length:
            self._turns.clear()
