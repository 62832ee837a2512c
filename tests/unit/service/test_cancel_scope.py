"""Work for a request ends at its deadline, or when its client hangs up."""

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest

from service.asgi import Scope
from service.cancel_scope import CONNECTION, CancelScope
from service.turns import Turns
from tests.unit.service.loop_turns import counting_turns
from wire.errors import ClientGone, DeadlineExceeded, ModelNotFound


class Client:
    """A connection whose client hangs up when told."""

    on_lost: Callable[[], None] | None = None

    def __init__(self, turns: Turns | None = None) -> None:
        self.turns = turns or Turns()

    @property
    def scope(self) -> Scope:
        return {CONNECTION: self}

    def hang_up(self) -> None:
        assert self.on_lost is not None, "nobody waits"
        self.on_lost()


async def waiting(client: Client, deadline: float | None = None) -> None:
    with CancelScope(client.scope, deadline):
        await asyncio.Event().wait()


async def test_work_for_a_client_that_hangs_up_is_cancelled() -> None:
    client, cancelled = Client(), False

    async def work() -> None:
        nonlocal cancelled
        with CancelScope(client.scope):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled = True
                raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    client.hang_up()
    with pytest.raises(ClientGone):
        await task
    assert cancelled


@pytest.mark.parametrize("left_s", [-1.0, 0.0, 0.01])
async def test_work_ends_at_its_deadline(left_s: float) -> None:
    with pytest.raises(DeadlineExceeded):
        await waiting(Client(), monotonic() + left_s)


async def test_of_two_reasons_the_first_counts() -> None:
    client = Client()
    task = asyncio.create_task(waiting(client, monotonic() + 0.01))
    await asyncio.sleep(0)
    hang_up = client.on_lost
    assert hang_up is not None
    hang_up()
    hang_up()
    with pytest.raises(ClientGone):
        await task
    assert task.cancelling() == 0


async def test_hundreds_whose_time_is_up_at_the_same_moment_end_a_few_in_a_turn_of_the_loop() -> None:
    server = Turns()
    clients = [Client(server) for _ in range(300)]
    deadline = monotonic()

    async def ask(client: Client) -> None:
        with pytest.raises(DeadlineExceeded):
            await waiting(client, deadline)
        turns.happened()

    with counting_turns() as turns:
        asking = [asyncio.create_task(ask(client)) for client in clients]
        await asyncio.gather(*asking)
    assert sum(turns.each) == 300
    assert max(turns.each) < 50


async def test_a_server_that_tells_of_no_hanging_up_still_keeps_deadlines() -> None:
    with pytest.raises(DeadlineExceeded), CancelScope({}, monotonic()):
        await asyncio.Event().wait()


async def test_who_is_done_in_time_is_not_disturbed() -> None:
    client, deadline = Client(), monotonic() + 0.01
    with CancelScope(client.scope, deadline):
        pass
    assert client.on_lost is None
    while monotonic() < deadline + 0.01:
        await asyncio.sleep(0.01)  # a cancellation would be raised here
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_error_of_the_work_passes_through() -> None:
    with pytest.raises(ModelNotFound), CancelScope(Client().scope, monotonic() + 60):
        raise ModelNotFound("m")


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    for hangs_up in (False, True):
        client = Client()
        task = asyncio.create_task(waiting(client))
        await asyncio.sleep(0)
        if hangs_up:
            client.hang_up()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
