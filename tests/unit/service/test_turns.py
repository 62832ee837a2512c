"""What comes by the thousand at once leaves all else its turn."""

import asyncio
import time
from typing import cast

from service.drops import Drops
from service.limits import ConnectionLimits, Watch
from service.transport import BackpressureFlow
from service.turns import AT_ONCE, LONG_S, SLICE_S, Turns, in_turns
from tests.unit.service.loop_turns import LoopTurns, counting_turns


async def test_all_are_done_in_their_order_a_few_in_a_turn() -> None:
    order: list[int] = []
    over = asyncio.Event()

    def do(item: int) -> None:
        order.append(item)
        turns.happened()

    with counting_turns() as turns:
        in_turns(iter(range(100)), do, at_once=10, then=over.set)
        await over.wait()
    assert order == list(range(100))
    assert turns.each == [10] * 10


async def test_what_takes_long_takes_a_turn_of_its_own() -> None:
    over = asyncio.Event()

    def do(item: int) -> None:
        time.sleep(SLICE_S)
        turns.happened()

    with counting_turns() as turns:
        in_turns(iter(range(5)), do, then=over.set)
        await over.wait()
    assert turns.each == [1] * 5


async def test_what_comes_from_many_sides_is_called_a_few_in_a_turn() -> None:
    over = asyncio.Event()
    later = Turns()
    with counting_turns() as turns:
        for _ in range(100):
            later.add(turns.happened)
        later.add(over.set)
        await over.wait()
    assert sum(turns.each) == 100
    assert max(turns.each) <= AT_ONCE
    with counting_turns() as turns:  # and again
        later.add(turns.happened)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert turns.each == [1]


async def test_short_turns_become_fuller_and_long_ones_emptier() -> None:
    over = asyncio.Event()
    later = Turns(4 * AT_ONCE)
    later.has_room(asyncio.get_running_loop().time())

    def slow() -> None:
        turns.happened()
        time.sleep(2 * LONG_S / AT_ONCE)

    with counting_turns() as turns:
        for number in range(400):
            later.add(turns.happened if number < 200 else slow)
        later.add(over.set)
        await over.wait()
    assert sum(turns.each) == 400
    assert max(turns.each) == 4 * AT_ONCE
    assert turns.each[-2] == AT_ONCE


class Busy:
    """A connection that takes long to be closed."""

    def __init__(self, turns: LoopTurns) -> None:
        self._turns = turns

    def second_passed(self) -> None:
        time.sleep(SLICE_S)
        self._turns.happened()


async def test_thousands_of_connections_whose_time_is_over_at_once_are_closed_in_turns() -> None:
    watch = Watch(ConnectionLimits(), second=0.01)
    with counting_turns() as turns:
        connections = [Busy(turns) for _ in range(5)]
        for connection in connections:
            watch.add(connection, "127.0.0.1", 10)
        while sum(turns.each) < 5:
            await asyncio.sleep(0.01)
        for connection in connections:
            watch.remove(connection, "127.0.0.1")
    assert set(turns.each) == {1}


class Flow:
    """One of which `reads` counts the turns in which it may read."""

    dropping = False

    def __init__(self, drops: Drops, closed: bool = False) -> None:
        self.reads = 0
        self._drops = drops
        self._closed = closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None:
        self.reads += 1
        if self.reads < 3:
            self.drop()

    def is_closing(self) -> bool:
        return self._closed

    def drop(self) -> None:
        self._drops.add(cast(BackpressureFlow, self))


async def test_what_is_thrown_away_is_read_by_one_connection_after_the_other() -> None:
    drops = Drops()
    flows = [Flow(drops) for _ in range(3)]
    gone = Flow(drops, closed=True)
    for flow in (*flows, gone):
        flow.drop()
        flow.drop()  # more of the same turn
    assert [flow.reads for flow in flows] == [0, 0, 0]
    while flows[-1].reads < 3:
        assert max(flow.reads for flow in flows) - min(flow.reads for flow in flows) <= 1
        await asyncio.sleep(0)
    assert [flow.reads for flow in flows] == [3, 3, 3]
    assert gone.reads == 0
