import asyncio

import pytest

from service.rate import Rate
from service.shared import Shared


class Made:
    """What is made: how often it was, once it may."""

    def __init__(self) -> None:
        self.times = 0
        self.may = asyncio.Event()
        self.may.set()

    async def __call__(self) -> int:
        self.times += 1
        times = self.times
        await self.may.wait()
        return times


async def test_who_asks_while_it_is_made_gets_the_same() -> None:
    made = Made()
    made.may.clear()
    shared = Shared(made)
    asking = [asyncio.create_task(shared.get()) for _ in range(10)]
    await asyncio.sleep(0)
    made.may.set()
    assert await asyncio.gather(*asking) == [1] * 10


async def test_the_first_in_a_second_get_it_anew_and_the_others_the_last() -> None:
    now = [0.0]
    shared = Shared(Made(), Rate(per_s=1, burst=2, clock=lambda: now[0]))
    assert [await shared.get() for _ in range(5)] == [1, 2, 2, 2, 2]
    now[0] += 1
    assert await shared.get() == 3


async def test_what_failed_is_told_to_all_and_not_kept() -> None:
    fails = [True]

    async def make() -> int:
        await asyncio.sleep(0)
        if fails.pop():
            raise ValueError("away")
        return 1

    shared = Shared(make)
    assert [type(told) for told in await asyncio.gather(shared.get(), shared.get(), return_exceptions=True)] == [
        ValueError
    ] * 2
    fails.append(False)
    assert await shared.get() == 1


async def test_one_who_leaves_takes_it_from_nobody() -> None:
    made = Made()
    made.may.clear()
    shared = Shared(made)
    leaves, stays = asyncio.create_task(shared.get()), asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    made.may.set()
    assert await stays == 1
