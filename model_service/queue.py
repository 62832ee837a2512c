"""The queue before an engine: requests take turns, and batches are formed of entries of similar length.

Of the requests that wait, each gets an equal share of the tokens that are run (of the rows, where there are no tokens),
so that a small one is not held up by the thousand rows that came before it. This is weighted fair queueing (Demers,
Keshav and Shenker, 1989) with a request as a flow: a virtual clock shows what a request that waited all along would
have been served by now, and whoever was served least by that clock is next.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Final, Generic, TypeVar

from model_service.tasks.base import Item
from storage.manifest import Batching

T = TypeVar("T")

# Of a batch's padded tokens at most this part is padding: with 256 real sentences waiting, a wider window makes larger
# batches and a lower throughput. But starting a batch costs about as much as 16 tokens do, so that much padding is
# always worth a batch saved.
PADDING: Final = 0.03
FREE_PADDING: Final = 16


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """An item that waits, and `owner`, to whom its result goes. `arrived` is monotonic seconds."""

    item: Item
    owner: T
    index: int
    arrived: float
    number: int = -1  # its place in the order of arrival; -1 once it no longer waits

    @property
    def cost(self) -> int:
        """What running it takes: tokens, or rows where there are none."""
        return self.item.rows * max(self.item.length, 1)


@dataclass(slots=True, eq=False)
class _Flow(Generic[T]):
    """One owner's entries in the order they came; `waiting` of them still wait. `turn` is by the virtual clock."""

    turn: float
    waiting: int = 0
    entries: deque[Entry[T]] = field(default_factory=deque)


_Sorted = list[tuple[int, int, Entry[T]]]  # by length, then by arrival


class Queue(Generic[T]):
    """Forms batches: the entry whose turn it is, with the entries of its group that are nearest to it in length."""

    def __init__(self, settings: Batching) -> None:
        self._max_rows, self._max_tokens = settings.max_rows, settings.max_tokens
        self._groups: dict[Hashable, _Sorted[T]] = {}
        self._flows: dict[T, _Flow[T]] = {}
        self._turns: list[
            tuple[float, int, _Flow[T]]
        ] = []  # a heap of flows; outdated ones are removed when they are met
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
        waiting, low, high = self._next()
        longest = waiting[high - 1][0]
        rows = sum([entry.item.rows for _, _, entry in waiting[low:high]])
        # An entry of the same length that already waits did not fit; a new one of that length comes after it.
        more = waiting[high][2].item.rows if high < len(waiting) and waiting[high][0] == longest else 1
        return rows + more > self._max_rows or 0 < self._max_tokens < (rows + more) * longest

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
        waiting = self._groups[entry.item.group]
        at = bisect_left(waiting, (entry.item.length, entry.number))
        self._remove(entry.item.group, waiting, at, at + 1)

    def take(self, wanted: Callable[[T], bool]) -> list[Entry[T]]:
        """Remove the next batch and return it, sorted by length. Empty where nothing waits.

        Entries whose owner is not `wanted` any more are removed first, so that they take no place in the batch.
        """
        while self._length:
            waiting, low, high = self._next()
            unwanted = [entry for _, _, entry in waiting[low:high] if not wanted(entry.owner)]
            if not unwanted:
                flows = len(self._flows)
                batch = self._remove(waiting[low][2].item.group, waiting, low, high)
                self._charge(batch, flows)
                return batch
            for entry in unwanted:
                self.discard(entry)
        return []

    def _next(self) -> tuple[_Sorted[T], int, int]:
        """The group of the entry whose turn it is, and the slice of it that is the next batch."""
        first = self.first
        waiting = self._groups[first.item.group]
        return waiting, *self._window(waiting, bisect_left(waiting, (first.item.length, first.number)))

    def _window(self, waiting: _Sorted[T], at: int) -> tuple[int, int]:
        """The slice of `waiting` that goes with the entry at `at`: grown towards the nearer length while it fits."""
        low, high = at, at + 1
        middle, _, entry = waiting[at]
        rows = entry.item.rows
        real, longest = rows * middle, middle
        while low > 0 or high < len(waiting):
            longer = low == 0 or (high < len(waiting) and waiting[high][0] - middle <= middle - waiting[low - 1][0])
            length, _, entry = waiting[high if longer else low - 1]
            more = entry.item.rows
            if not self._fits(rows + more, max(longest, length), real + more * length):
                break
            rows, longest, real = rows + more, max(longest, length), real + more * length
            if longer:
                high += 1
            else:
                low -= 1
        return low, high

    def _fits(self, rows: int, longest: int, real: int) -> bool:
        padded = rows * longest
        return (
            rows <= self._max_rows
            and (self._max_tokens == 0 or padded <= self._max_tokens)
            and padded - real <= max(FREE_PADDING, PADDING * padded)
        )

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

    def _remove(self, group: Hashable, waiting: _Sorted[T], low: int, high: int) -> list[Entry[T]]:
        taken = [entry for _, _, entry in waiting[low:high]]
        del waiting[low:high]
        if not waiting:
            del self._groups[group]
        for entry in taken:
            entry.number = -1
            self.rows -= entry.item.rows
            flow = self._flows[entry.owner]
            flow.waiting -= 1
            if not flow.waiting:
                del self._flows[entry.owner]
        self._length -= len(taken)
        if not self._length:
            self._turns.clear()
        return taken
