from contextlib import suppress

import pytest

from service.budget import Budget
from wire.errors import Overloaded, TooLarge


def test_what_a_request_holds_is_given_back_when_it_ends() -> None:
    budget = Budget(100)
    with budget.share() as share:
        share.reserve(10)
        share.reserve(30)
        share.reserve(20)
        assert budget.reserved == 20
    assert budget.reserved == 0


def test_what_nobody_refers_to_any_more_holds_nothing() -> None:
    budget = Budget(100)
    share = budget.lasting_share()
    share.reserve(30)
    assert budget.reserved == 30
    del share
    assert budget.reserved == 0


def test_one_request_may_hold_half() -> None:
    with Budget(100).share() as share:
        share.reserve(50)
        with pytest.raises(TooLarge, match="51 bytes of memory, one may take 50"):
            share.reserve(51)


def test_what_finds_no_room_is_told_the_numbers_and_to_come_back() -> None:
    budget = Budget(100)
    with budget.share() as one, budget.share() as other:
        one.reserve(40)
        other.reserve(30)
        with pytest.raises(Overloaded, match="takes 31 bytes of memory, and others hold 40 of the 100") as refused:
            other.reserve(31)
        assert refused.value.retry_after == 1
        assert (budget.reserved, budget.refused) == (70, 1)  # what it has reserved stays so until it ends
        other.reserve(10)  # less always goes


def test_large_requests_however_many_leave_room_for_small_ones() -> None:
    budget = Budget(1 << 20)
    large = [budget.share() for _ in range(100)]
    for share in large:
        with suppress(Overloaded, TooLarge):
            for size in range(0, 1 << 20, 1 << 12):  # as bodies arrive
                share.reserve(size)
    assert budget.refused == len(large)
    with budget.share() as small:
        small.reserve(1000)


def test_when_a_flood_is_over_somebody_is_told_once() -> None:
    ebbs: list[int] = []
    budget = Budget(1 << 30, on_ebb=lambda: ebbs.append(budget.reserved))
    shares = [budget.share() for _ in range(8)]
    for share in shares:
        share.reserve(10 << 20)
    for share in shares:
        with share:
            pass
    assert ebbs == [10 << 20]
    with budget.share() as one:
        one.reserve(20 << 20)
    assert len(ebbs) == 1  # that was none
