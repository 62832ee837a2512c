"""When to run a batch: owns the queue, the deadlines and the threads in which an engine runs."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Any

from model_service.batch_spans import record_batch, record_dropped
from model_service.protocol.errors import (
    DeadlineExceeded,
    EngineFailed,
    ModelNotReady,
    Overloaded,
    ServingError,
    TooLarge,
)
from model_service.protocol.tracing import NOTHING, Attributes, Span
from model_service.queue import Entry, Queue
from model_service.statistics import Statistics
from model_service.tasks.base import Item
from storage.manifest import Batching

log = logging.getLogger(__name__)
Run = Callable[[Sequence[Item]], Sequence[Any]]


class _Call:
    """One `submit`: its entries, and the future that they fulfil together."""

    __slots__ = ("deadline", "entries", "future", "left", "results", "span")

    def __init__(
        self,
        items: Sequence[Item],
        arrived: float,
        deadline: float | None,
        future: asyncio.Future[list[Any]],
        span: Span | None,
    ) -> None:
        self.entries = [Entry(item, self, index, arrived) for index, item in enumerate(items)]
        self.results: list[Any] = [None] * len(items)
        self.left = len(items)
        self.deadline = deadline
        self.future = future
        self.span = span

    def expire(self) -> None:
        if not self.future.done():
            self.future.set_exception(DeadlineExceeded())

    def wants_answer(self) -> bool:
        # The loop may be too late for the timer.
        if self.deadline is not None and self.deadline <= monotonic():
            self.expire()
        return not self.future.done()

    def answer(self, index: int, result: Any) -> None:
        if self.future.done():
            return
        if isinstance(result, ServingError):
            self.future.set_exception(result)
            return
        self.results[index] = result
        self.left -= 1
        if self.left == 0:
            self.future.set_result(self.results)


class Batcher:
    """Runs items in batches, `instances` of them at a time, each in a thread.

    `run` gets a batch's items and returns one result for each. Where it raises, the items run once more, one by one,
    so that only those at fault fail. A batch that waits for company (see `Batching`) waits only while another runs.
    `named` is what the spans of batches say beside their sizes.
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
        self._threads = ThreadPoolExecutor(instances, thread_name_prefix="engine")
        self._queue: Queue[_Call] = Queue(settings)
        self._reserved = 0  # rows of requests that are being prepared
        self._running: list[list[Entry[_Call]]] = []
        self._rows_per_s = 0.0
        self._looking = False  # whether a look at the queue is due in this turn of the loop
        self._hold: asyncio.TimerHandle | None = None  # when a held batch must leave
        self._closing = False
        self._drained = asyncio.Event()
        self.statistics = statistics or Statistics()

    async def submit(self, items: Sequence[Item], deadline: float | None = None, span: Span | None = None) -> list[Any]:
        """The items' results, in their order. `deadline` is monotonic seconds.

        Raises Overloaded (full queue), DeadlineExceeded as soon as it has passed, EngineFailed, ModelNotReady once
        closing. Cancelling it takes its items out of the queue. `span` is told of the queue, the batch and the engine.
        """
        self.admit(sum([item.rows for item in items]), deadline)
        now = monotonic()
        loop = asyncio.get_running_loop()
        if not items:
            return []
        call = _Call(items, now, deadline, loop.create_future(), span)
        for entry in call.entries:
            self._queue.add(entry)
        self._look_soon(loop)
        timer = None if deadline is None else loop.call_later(deadline - now, self._expire, call)
        try:
            return await call.future
        finally:
            if timer is not None:
                timer.cancel()
            if call.left:
                self._forget(call)

    def admit(self, rows: int, deadline: float | None = None) -> None:
        """Raise what `submit` would raise at once for that many rows."""
        limit = self._settings.max_queue_rows
        if self._closing:
            raise ModelNotReady("this version is being unloaded", retry_after=1)
        if rows > limit:
            raise TooLarge(f"the request has {rows} rows, the model's queue holds {limit}: send it in parts")
        waiting = self._queue.rows + self._reserved
        if waiting + rows > limit:
            raise Overloaded(f"{waiting} rows wait, the queue holds {limit}", retry_after=self._wait_s())
        if deadline is not None and deadline <= monotonic():
            raise DeadlineExceeded

    @contextmanager
    def reserved(self, rows: int) -> Iterator[None]:
        """Keep room for rows that were admitted while they are being prepared."""
        self._reserved += rows
        try:
            yield
        finally:
            self._reserved -= rows

    async def close(self, timeout_s: float = 30.0) -> None:
        """Accept nothing more, finish what is queued, end the threads.

        What a hung engine has not answered after `timeout_s` gets ModelNotReady; its thread is left behind.
        """
        self._closing = True
        self._drained.clear()
        if self._queue or self._idle < self._instances:
            self._look_soon(asyncio.get_running_loop())
            try:
                async with asyncio.timeout(timeout_s):
                    await self._drained.wait()
            except TimeoutError:
                self._give_up(timeout_s)
        self._threads.shutdown(wait=False)

    @property
    def waiting_rows(self) -> int:
        return self._queue.rows

    def _wait_s(self) -> float:
        """How long the queue takes to empty, at the rate last seen."""
        return min(self._queue.rows / self._rows_per_s, 60.0) if self._rows_per_s else 1.0

    def _expire(self, call: _Call) -> None:
        call.expire()
        self._forget(call)

    def _forget(self, call: _Call) -> None:
        waiting = [entry for entry in call.entries if entry.number >= 0]
        for entry in waiting:
            self.statistics.dropped += 1
            self._queue.discard(entry)
        if waiting and call.span is not None:
            record_dropped(call.span, waiting[0].arrived, monotonic())
        self._settle()

    def _look_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not at once: what arrives in the same turn of the loop shares the batch.
        if self._idle and not self._looking:
            self._looking = True
            loop.call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        while self._idle and self._queue:
            hold = self._hold_s()
            if hold > 0:
                self._hold = asyncio.get_running_loop().call_later(hold, self._look)
                return
            before = len(self._queue)
            batch = self._queue.take(_Call.wants_answer)
            self.statistics.dropped += before - len(self._queue) - len(batch)
            if batch:
                self._start(batch)
        self._settle()

    def _hold_s(self) -> float:
        if self._idle == self._instances or self._closing or self._queue.fills_a_batch:
            return 0.0
        return self._queue.oldest.arrived + self._settings.max_delay_ms / 1000 - monotonic()

    def _start(self, batch: list[Entry[_Call]]) -> None:
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
        self._running.append(batch)
        self._threads.submit(self._work, asyncio.get_running_loop(), batch, rows, now)

    def _work(self, loop: asyncio.AbstractEventLoop, batch: list[Entry[_Call]], rows: int, started: float) -> None:
        """In a thread."""
        results = _results(self._run, batch)
        loop.call_soon_threadsafe(self._finish, batch, results, rows, started)

    def _finish(self, batch: list[Entry[_Call]], results: Sequence[Any], rows: int, started: float) -> None:
        self._idle += 1
        self._running.remove(batch)
        ended = monotonic()
        rate = rows * self._instances / max(ended - started, 1e-6)
        self._rows_per_s += (rate - self._rows_per_s) * (0.1 if self._rows_per_s else 1.0)
        for entry, result in zip(batch, results, strict=True):
            entry.owner.answer(entry.index, result)
        # After the answers, as a call that failed wants no more runs; before anyone who was answered goes on.
        self._look()
        record_batch(batch, results, started, ended, self._named)

    def _give_up(self, after_s: float) -> None:
        log.warning("the engine has not come back after %g s: what it runs and what waits is given up", after_s)
        late = ModelNotReady("this version was unloaded before it could answer", retry_after=1)
        calls = {entry.owner for batch in (*self._running, self._queue.entries()) for entry in batch}
        for call in calls:
            if not call.future.done():
                call.future.set_exception(late)
            self._forget(call)

    def _settle(self) -> None:
        if self._closing and not self._queue and self._idle == self._instances:
            self._drained.set()


def _results(run: Run, batch: list[Entry[_Call]]) -> list[Any]:
    """What `run` makes of the batch; in place of a result, the error of an item that fails on its own too."""
    try:
        results = list(run([entry.item for entry in batch]))
        if len(results) != len(batch):
            raise EngineFailed(f"the model gave {len(results)} results for {len(batch)} items")
        return results
    except Exception as error:
        if len(batch) == 1:
            return [error if isinstance(error, ServingError) else _engine_failed(error)]
    results, failed = [], set()
    for entry in batch:
        call, result = entry.owner, None
        # Whoever no longer waits for an answer gets no second run.
        if call not in failed and not call.future.done():
            result = _results(run, [entry])[0]
        if isinstance(result, ServingError):
            failed.add(call)
        results.append(result)
    return results


def _engine_failed(error: Exception) -> EngineFailed:
    failed = EngineFailed(f"the model failed: {error}")
    failed.__cause__ = error  # whose fault it is, for whoever loads the version
    return failed
