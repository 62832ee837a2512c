from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_service.entry import Entry
from model_service.queue import Queue
from model_service.tasks.base import Item
from model_service.window import FREE_PADDING, PADDING
from storage.manifest import Batching

Waiting = Queue[int]

ITEMS = st.builds(
    lambda rows, length, group: Item({}, rows, length, group),
    st.integers(1, 5),
    st.integers(0, 60),
    st.sampled_from(["a", "b"]),
)
LIMITS = st.builds(
    lambda rows, tokens: Batching(max_rows=rows, max_tokens=tokens), st.integers(1, 12), st.sampled_from([0, 30, 200])
)


def queue(items: Sequence[Item], limits: Batching | None = None) -> Waiting:
    waiting: Waiting = Queue(limits or Batching())
    for owner, item in enumerate(items):
        waiting.add(Entry(item, owner, 0, 0.0))
    return waiting


def texts(*lengths: int) -> list[Item]:
    return [Item({}, 1, length) for length in lengths]


def everyone(owner: int) -> bool:
    return True


def take(waiting: Waiting) -> list[Entry[int]]:
    return waiting.take(everyone)


def batches(waiting: Waiting) -> list[list[Entry[int]]]:
    return [take(waiting) for _ in iter(lambda: len(waiting), 0)]


def lengths(batch: Sequence[Entry[int]]) -> list[int]:
    return [entry.item.length for entry in batch]


def size(entries: Sequence[Entry[int]]) -> tuple[int, int]:
    """Rows, and tokens once padded."""
    rows = sum(entry.item.rows for entry in entries)
    return rows, rows * max(entry.item.length for entry in entries)


@given(st.lists(ITEMS, max_size=40), LIMITS)
def test_a_batch_is_never_larger_than_it_may_be(items: list[Item], limits: Batching) -> None:
    for batch in batches(queue(items, limits)):
        rows, padded = size(batch)
        assert len(batch) == 1 or rows <= limits.max_rows
        assert len(batch) == 1 or limits.max_tokens == 0 or padded <= limits.max_tokens


@given(st.lists(ITEMS, max_size=40), LIMITS)
def test_a_batch_is_hardly_ever_padding(items: list[Item], limits: Batching) -> None:
    for batch in batches(queue(items, limits)):
        padded = size(batch)[1]
        real = sum(entry.item.rows * entry.item.length for entry in batch)
        assert padded - real <= max(FREE_PADDING, PADDING * padded)


@given(st.lists(ITEMS, max_size=40), LIMITS)
def test_everything_leaves_once_and_the_oldest_is_always_in_the_next_batch(items: list[Item], limits: Batching) -> None:
    left, waiting = list(range(len(items))), queue(items, limits)
    while waiting:
        owners = [entry.owner for entry in take(waiting)]
        assert left[0] in owners
        left = [owner for owner in left if owner not in owners]
    assert left == []


@given(st.lists(ITEMS, max_size=40), LIMITS)
def test_a_batch_is_of_one_group_and_by_length(items: list[Item], limits: Batching) -> None:
    for batch in batches(queue(items, limits)):
        assert len({entry.item.group for entry in batch}) == 1
        assert lengths(batch) == sorted(lengths(batch))


@pytest.mark.parametrize(("waits", "batch"), [([300], [1, 5]), ([300, 400], [1])])
def test_a_long_queue_is_chosen_from_among_those_that_have_waited(waits: list[int], batch: list[int]) -> None:
    waiting = queue(texts(100, 200, *waits), Batching(max_rows=2, max_tokens=0))
    assert [entry.owner for entry in take(waiting)] == [0]
    waiting.add(Entry(Item({}, 1, 200), 5, 0, 0.0))
    assert [entry.owner for entry in take(waiting)] == batch


def test_the_order_of_arrival_decides_where_all_are_of_one_length() -> None:
    waiting = queue(texts(*[10] * 9), Batching(max_rows=2, max_tokens=0))
    assert [[entry.owner for entry in batch] for batch in batches(waiting)] == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]


def test_a_batch_is_filled_to_its_limit() -> None:
    waiting = queue(texts(*[10] * 7), Batching(max_rows=32, max_tokens=30))
    assert [len(batch) for batch in batches(waiting)] == [3, 3, 1]


def test_what_is_too_large_for_any_batch_runs_alone() -> None:
    waiting = queue(texts(500, 500), Batching(max_tokens=100))
    assert [lengths(batch) for batch in batches(waiting)] == [[500], [500]]


def test_whoever_is_unwanted_is_removed_and_takes_no_place() -> None:
    waiting = queue(texts(*[10] * 6), Batching(max_rows=3, max_tokens=0))
    assert [entry.owner for entry in waiting.take(lambda owner: owner not in (0, 2))] == [1, 3, 4]
    assert [entry.owner for entry in take(waiting)] == [5]


def test_where_nobody_is_wanted_there_is_no_batch() -> None:
    waiting = queue(texts(1, 2, 300))
    assert waiting.take(lambda owner: False) == []
    assert not waiting
    assert waiting.rows == 0


@given(st.lists(st.one_of(ITEMS, st.integers(0, 50), st.none()), max_size=60), LIMITS)
def test_its_counts_are_those_of_what_waits(steps: list[Item | int | None], limits: Batching) -> None:
    """An item is added, a number discards the entry of that index, None takes a batch."""
    waiting: Waiting = Queue(limits)
    added: list[Entry[int]] = []
    for step in steps:
        if isinstance(step, Item):
            added.append(Entry(step, len(added), 0, 0.0))
            waiting.add(added[-1])
        elif step is None:
            take(waiting)
        elif step < len(added):
            waiting.discard(added[step])  # a second time, or after it was taken, changes nothing
        still = [entry for entry in added if entry.number >= 0]
        assert len(waiting) == len(still)
        assert waiting.rows == sum(entry.item.rows for entry in still)
        assert not still or waiting.first is still[0]


@pytest.mark.parametrize(
    ("limits", "fills"),
    [({"max_rows": 3}, True), ({"max_rows": 4}, False), ({"max_tokens": 30}, True), ({"max_tokens": 0}, False)],
)
def test_it_knows_when_more_could_make_no_batch_larger(limits: dict[str, Any], fills: bool) -> None:
    assert queue(texts(10, 10, 10), Batching(**limits)).fills_a_batch is fills


def test_what_cannot_share_the_next_batch_does_not_fill_it() -> None:
    limits = Batching(max_rows=3, max_tokens=0)
    assert not queue(texts(10, 100, 200), limits).fills_a_batch
    groups = [Item({}, 1, 0, group) for group in "abb"]
    assert not queue(groups, limits).fills_a_batch
    assert queue([*groups, Item({}, 1, 0, "a"), Item({}, 1, 0, "a")], limits).fills_a_batch


def test_a_batch_that_the_next_item_does_not_fit_into_is_full() -> None:
    assert queue([Item({}, 2), Item({}, 2)], Batching(max_rows=3)).fills_a_batch
    assert not queue([Item({}, 2)], Batching(max_rows=3)).fills_a_batch


def long_and_short(limits: Batching, rows: int = 1000) -> list[int]:
    """In which batches owner 2 is, who comes with one text behind the thousands of 0 and 1."""
    waiting: Waiting = Queue(limits)
    for owner in (0, 1):
        for index in range(rows):
            waiting.add(Entry(Item({}, 1, 12 + index % 7), owner, index, 0.0))
    owners = [[entry.owner for entry in take(waiting)] for _ in range(5)]
    waiting.add(Entry(Item({}, 1, 60), 2, 0, 0.0))
    owners += [[entry.owner for entry in batch] for batch in batches(waiting)]
    return [number for number, batch in enumerate(owners) if 2 in batch]


def test_a_text_that_comes_behind_two_thousand_is_in_the_next_batch_but_one_at_most() -> None:
    assert long_and_short(Batching())[0] <= 6


def test_a_stream_of_single_texts_does_not_hold_up_a_long_request_for_ever() -> None:
    waiting: Waiting = Queue(Batching(max_rows=2, max_tokens=0))
    for index in range(10):
        waiting.add(Entry(Item({}, 1, 10, "long"), 0, index, 0.0))
    served = 0
    for owner in range(1, 60):
        waiting.add(Entry(Item({}, 1, 10, "short"), owner, 0, 0.0))
        served += [entry.owner for entry in take(waiting)].count(0)
    assert served == 10
