from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from model_service.entry import Entry
from model_service.tasks.base import Item
from model_service.window import Candidate, choose_window, fits
from storage.manifest import Batching

WAITING = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4), st.integers(0, 500)), min_size=1, max_size=30)
LIMITS = st.builds(
    lambda rows, tokens: Batching(max_rows=rows, max_tokens=tokens), st.integers(1, 12), st.sampled_from([0, 30, 200])
)


def by_length(waiting: list[tuple[int, int, int]]) -> list[Candidate]:
    """Of (length, rows, what it has waited for), which is its owner here."""
    return [
        (length, number, Entry(Item({}, rows, length), waited, 0, 0.0))
        for number, (length, rows, waited) in enumerate(sorted(waiting))
    ]


def waited(entry: Entry[int]) -> float:
    return entry.owner


def sizes(window: list[Candidate]) -> tuple[int, int, int]:
    rows = sum(entry.item.rows for _, _, entry in window)
    return rows, window[-1][0], sum(entry.item.rows * length for length, _, entry in window)


def worth(window: list[Candidate]) -> float:
    rows, longest, real = sizes(window)
    return (sum(waited(entry) for _, _, entry in window) + real) / (16 + rows * longest)


@given(WAITING, LIMITS, st.integers(0, 29))
def test_of_all_windows_that_cannot_grow_it_is_the_one_that_waited_for_most(
    entries: list[tuple[int, int, int]], limits: Batching, at: int
) -> None:
    """Against every slice there is."""
    waiting = by_length(entries)
    at %= len(waiting)
    slices = [(low, high) for low in range(at + 1) for high in range(at + 1, len(waiting) + 1)]
    allowed = {(low, high) for low, high in slices if high - low == 1 or fits(*sizes(waiting[low:high]), limits)}
    whole = [(low, high) for low, high in allowed if (low, high + 1) not in allowed and (low - 1, high) not in allowed]
    found = list(choose_window(waiting, at, limits, waited))
    assert waiting[at] in found
    assert all(one < other for one, other in pairwise(found))
    assert worth(found) >= max(worth(waiting[low:high]) for low, high in whole) - 1e-9


def test_a_text_that_has_waited_takes_its_neighbours_along() -> None:
    waiting = by_length([(20, 1, 0), (21, 1, 0), (22, 1, 50), (23, 1, 400)])
    limits = Batching(max_rows=2, max_tokens=0)
    assert [length for length, _, _ in choose_window(waiting, 2, limits, waited)] == [22, 23]
    waiting = by_length([(20, 1, 0), (21, 1, 300), (22, 1, 50), (23, 1, 0)])
    assert [length for length, _, _ in choose_window(waiting, 2, limits, waited)] == [21, 22]


def test_what_is_too_large_for_any_batch_is_a_window_of_its_own() -> None:
    waiting = by_length([(500, 1, 0), (500, 1, 9)])
    assert choose_window(waiting, 1, Batching(max_tokens=100), waited) == [waiting[1]]
