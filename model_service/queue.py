"""What waits for an engine: every entry in the order it came, and by length within its group."""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
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


_Sorted = list[tuple[int, int, Entry[T]]]  # by length, then by arrival


class Queue(Generic[T]):
    """Gives batches away: the oldest entry, and with it those of its group that are nearest to it in length."""

    def __init__(self, settings: Batching) -> None:
        self._max_rows, self._max_tokens = settings.max_rows, settings.max_tokens
        self._arrivals: OrderedDict[int, Entry[T]] = OrderedDict()
        self._groups: dict[Hashable, _Sorted[T]] = {}
        self._last = 0
        self.rows = 0

    def __len__(self) -> int:
        return len(self._arrivals)

    @property
    def oldest(self) -> Entry[T]:
        return next(iter(self._arrivals.values()))

    @property
    def fills_a_batch(self) -> bool:
        """Whether the next batch is as large as it may be, so that nothing that comes could join it."""
        waiting, low, high = self._next()
        longest = waiting[high - 1][0]
        rows = sum([entry.item.rows for _, _, entry in waiting[low:high]])
        # What waits behind it with the same length has not fitted, and what comes with that length stands behind that.
        more = waiting[high][2].item.rows if high < len(waiting) and waiting[high][0] == longest else 1
        return rows + more > self._max_rows or 0 < self._max_tokens < (rows + more) * longest

    def entries(self) -> Iterable[Entry[T]]:
        """All that wait, in the order they came."""
        return self._arrivals.values()

    def add(self, entry: Entry[T]) -> None:
        self._last += 1
        entry.number = self._last
        item = entry.item
        self._arrivals[entry.number] = entry
        insort(self._groups.setdefault(item.group, []), (item.length, entry.number, entry))
        self.rows += item.rows

    def discard(self, entry: Entry[T]) -> None:
        """Take `entry` out, if it still waits."""
        if entry.number < 0:
            return
        waiting = self._groups[entry.item.group]
        at = bisect_left(waiting, (entry.item.length, entry.number))
        self._remove(entry.item.group, waiting, at, at + 1)

    def take(self, wanted: Callable[[T], bool]) -> list[Entry[T]]:
        """Remove the next batch and return it, by length. Empty where nothing waits any more.

        An entry whose owner is not `wanted` takes nobody's place in it: it is removed on the way.
        """
        while self._arrivals:
            waiting, low, high = self._next()
            unwanted = [entry for _, _, entry in waiting[low:high] if not wanted(entry.owner)]
            if not unwanted:
                return self._remove(self.oldest.item.group, waiting, low, high)
            for entry in unwanted:
                self.discard(entry)
        return []

    def _next(self) -> tuple[_Sorted[T], int, int]:
        """The oldest entry's group, and the slice of it that is the next batch."""
        oldest = self.oldest
        waiting = self._groups[oldest.item.group]
        return waiting, *self._window(waiting, bisect_left(waiting, (oldest.item.length, oldest.number)))

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

    def _remove(self, group: Hashable, waiting: _Sorted[T], low: int, high: int) -> list[Entry[T]]:
        taken = [entry for _, _, entry in waiting[low:high]]
        del waiting[low:high]
        if not waiting:
            del self._groups[group]
        for entry in taken:
            del self._arrivals[entry.number]
            entry.number = -1
            self.rows -= entry.item.rows
        return taken
