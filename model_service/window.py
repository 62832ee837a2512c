"""Which of the entries that wait share the next batch: those of similar length, so that little of it is padding.

Sorted by length, a batch is a slice of them (a window). Any window with the entry whose turn it is may be the next one;
of those that nothing more fits into, the one leaves whose entries have waited for most, for what it takes to run it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from model_service.entry import Entry
from storage.manifest import Batching

Candidate = tuple[int, int, Entry[Any]]  # by length, then by arrival

# Of a batch's padded tokens at most this part is padding: with 256 real sentences waiting, a wider window makes larger
# batches and a lower throughput. But starting a batch costs about as much as 16 tokens do, so that much padding is
# always worth a batch saved.
PADDING: Final = 0.03
FREE_PADDING: Final = 16


def fits(rows: int, longest: int, real: int, limits: Batching) -> bool:
    """Whether so many rows of `real` tokens, padded to the longest, may be one batch."""
    padded = rows * longest
    return (
        rows <= limits.max_rows
        and (limits.max_tokens == 0 or padded <= limits.max_tokens)
        and padded - real <= max(FREE_PADDING, PADDING * padded)
    )


def choose_window(
    waiting: Sequence[Candidate], at: int, limits: Batching, waited: Callable[[Entry[Any]], float]
) -> Sequence[Candidate]:
    """The slice of `waiting` (by length) that goes with the one at `at`. What an entry has `waited` for is in tokens.

    From the lowest start that leaves room for the one at `at`, the start moves up to it, and the end as far as it can.
    """
    middle, _, entry = waiting[at]
    rows, low, high = entry.item.rows, at, at + 1
    real, waits = rows * middle, waited(entry)
    while low:
        length, _, entry = waiting[low - 1]
        more = entry.item.rows
        if not fits(rows + more, middle, real + more * length, limits):
            break
        low, rows, real, waits = low - 1, rows + more, real + more * length, waits + waited(entry)
    best, chosen = -1.0, (at, at + 1)
    while True:
        while high < len(waiting):
            length, _, entry = waiting[high]
            more = entry.item.rows
            if not fits(rows + more, length, real + more * length, limits):
                break
            high, rows, real, waits = high + 1, rows + more, real + more * length, waits + waited(entry)
        worth = (waits + real) / (FREE_PADDING + rows * waiting[high - 1][0])
        if worth > best:
            best, chosen = worth, (low, high)
        if low == at or high == len(waiting):
            return waiting[slice(*chosen)]
        length, _, entry = waiting[low]
        more = entry.item.rows
        low, rows, real, waits = low + 1, rows - more, real - more * length, waits - waited(entry)
