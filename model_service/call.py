"""A call of the batcher: the entries of one request, and the future that they fulfil together."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any

from model_service.entry import Entry
from model_service.tasks.base import Item
from wire.errors import DeadlineExceeded, ServingError
from wire.spans import Span


class Call:
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
