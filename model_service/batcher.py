"""When to run a batch: owns the queue, the deadlines and the instances of an engine."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from model_service.batch import Batch, Run, run_batch
from model_service.batch_spans import record_batch, record_dropped
from model_service.call import Call
from model_service.entry import Entry
from model_service.queue import Queue
from model_service.statistics import Statistics
from model_service.tasks.base import Item
from storage.manifest import Batching
from wire.errors import DeadlineExceeded, ModelNotReady, Overloaded, TooLarge
from wire.spans import NOTHING, Attributes, Span

log = logging.getLogger(__name__)


class Batcher:
    """Runs items in batches, `instances` of them at a time.

    `run` gets a batch's items and returns one result for each. Where it raises, the items run once more, one by one,
    so that only those at fault fail; where the engine's process died, all of them are Suspect, and where it does not
    start again, ModelNotReady. A batch is delayed so that others can join (`Batching.max_delay_ms`) only while another
    runs. `run` is cancelled once nobody waits for the batch. `named` are attributes of the batches' spans.
    """

    def __init__(
        self,
        run: Run,
        settings: Batching,
        *,
        instances: int = 1,
        statistics: Statistics | None = None,
        named: Attributes = NOTHING,
    ) -> None:
        self._run = run
        self._named = named
        self._settings = settings
        self._instances = self._idle = instances
        self._tasks: set[asyncio.Task[None]] = set()  # one for each batch that runs
        self._queue: Queue[Call] = Queue(settings)
        self._reserved = 0  # rows of requests that are being prepared
        self._running: list[Batch] = []
        self._rows_per_s = 0.0
        self._scheduled = False  # whether `_dispatch` is called in this turn of the loop
        self._delay: asyncio.TimerHandle | None = None  # until a batch that waits for more must leave
        self._closing = False
        self._drained = asyncio.Event()
        self.statistics = statistics or Statistics()

    async def submit(self, items: Sequence[Item], deadline: float | None = None, span: Span | None = None) -> list[Any]:
        """The items' results, in their order. `deadline` is monotonic seconds.

        Raises Overloaded (full queue), DeadlineExceeded as soon as it has passed, EngineFailed, Suspect, ModelNotReady
        once closing. Cancelling it takes its items out of the queue. `span` is told of the queue, the batch and the
        engine.
        """
        self.admit(sum([item.rows for item in items]), deadline)
        now = monotonic()
        loop = asyncio.get_running_loop()
        if not items:
            return []
        call = Call(items, now, deadline, loop.create_future(), span)
        for entry in call.entries:
            self._queue.add(entry)
        self._schedule(loop)
        timer = None if deadline is None else loop.call_later(deadline - now, self._expire, call)
        try:
            return await call.future
        finally:
            if timer is not None:
                timer.cancel()
            if call.left:
                self._forget(call)
            call.entries = []  # they and it would keep each other, and the arrays, until garbage is collected

    def admit(self, rows: int, deadline: float | None = None) -> None:
        """Raise what `submit` would raise at once for that many rows."""
        limit = self._settings.max_queue_rows
        if self._closing:
            raise ModelNotReady("this version is being unloaded", retry_after=1)
        if rows > limit:
            raise TooLarge(f"the request has {rows} rows, the model's queue holds {limit}: send it in parts")
        waiting = self._queue.rows + self._reserved
        if waiting + rows > limit:
            raise Overloaded(
                f"{waiting} rows wait, the request has {rows} more, the model's queue holds {limit}",
                retry_after=self._wait_s(),
            )
        if deadline is not None and deadline <= monotonic():
            raise DeadlineExceeded

    @contextmanager
    def reserve(self, rows: int) -> Iterator[None]:
        """Keep room for rows that were admitted while they are being prepared."""
        self._reserved += rows
        try:
            yield
        finally:
            self._reserved -= rows

    async def close(self, timeout_s: float = 30.0) -> None:
        """Accept nothing more, finish what is queued.

        Requests that a hung engine has not answered after `timeout_s` get ModelNotReady.
        """
        self._closing = True
        self._drained.clear()
        if self._queue or self._idle < self._instances:
            self._schedule(asyncio.get_running_loop())
            try:
                async with asyncio.timeout(timeout_s):
                    await self._drained.wait()
            except TimeoutError:
                self._give_up(timeout_s)

    @property
    def waiting_rows(self) -> int:
        return self._queue.rows

    def _wait_s(self) -> float:
        """How long the queue takes to empty, at the rate last seen."""
        return min(self._queue.rows / self._rows_per_s, 60.0) if self._rows_per_s else 1.0

    def _expire(self, call: Call) -> None:
        call.expire()
        self._forget(call)

    def _forget(self, call: Call) -> None:
        waiting = [entry for entry in call.entries if entry.number >= 0]
        for entry in waiting:
            self.statistics.dropped += 1
            self._queue.discard(entry)
        if waiting and call.span is not None:
            record_dropped(call.span, waiting[0].arrived, monotonic())
        for batch in self._running:
            batch.cancel_if_unwanted()
        self._note_drained()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not at once: what arrives in the same turn of the loop shares the batch.
        if self._idle and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = False
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        while self._idle and self._queue:
            delay_s = self._delay_s()
            if delay_s > 0:
                self._delay = asyncio.get_running_loop().call_later(delay_s, self._dispatch)
                return
            before = len(self._queue)
            batch = self._queue.take(Call.wants_answer)
            self.statistics.dropped += before - len(self._queue) - len(batch)
            if batch:
                self._start(batch)
        self._note_drained()

    def _delay_s(self) -> float:
        if self._idle == self._instances or self._closing or self._queue.fills_a_batch:
            return 0.0
        return self._queue.first.arrived + self._settings.max_delay_ms / 1000 - monotonic()

    def _start(self, batch: list[Entry[Call]]) -> None:
        now = monotonic()
        statistics = self.statistics
        rows = longest = real = 0
        for entry in batch:
            item = entry.item
            statistics.queue.observe(now - entry.arrived)
            rows += item.rows
            real += item.rows * item.length
            longest = max(longest, item.length)
        statistics.batch_rows.observe(rows)
        statistics.tokens += real
        statistics.padded_tokens += rows * longest
        self._idle -= 1
        running = Batch(batch, rows, now)
        self._running.append(running)
        task = asyncio.create_task(self._work(running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, batch: Batch) -> None:
        results = await run_batch(self._run, batch.entries, batch.cancel)
        self._idle += 1
        self._running.remove(batch)
        ended = monotonic()
        rate = batch.rows * self._instances / max(ended - batch.started, 1e-6)
        self._rows_per_s += (rate - self._rows_per_s) * (0.1 if self._rows_per_s else 1.0)
        for entry, result in zip(batch.entries, results, strict=True):
            entry.owner.answer(entry.index, result)
        # After the answers, as a call that failed wants no more runs; before anyone who was answered goes on.
        self._dispatch()
        record_batch(batch.entries, results, batch.started, ended, self._named)

    def _give_up(self, after_s: float) -> None:
        log.warning("the engine has not come back after %g s: what it runs and what waits is given up", after_s)
        late = ModelNotReady("this version was unloaded before it could answer", retry_after=1)
        running = [batch.entries for batch in self._running]
        calls = {entry.owner for entries in (*running, self._queue.entries()) for entry in entries}
        for call in calls:
            if not call.future.done():
                call.future.set_exception(late)
            self._forget(call)

    def _note_drained(self) -> None:
        if self._closing and not self._queue and self._idle == self._instances:
            self._drained.set()
