"""A value that is costly to make, made for many callers at once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from service.rate import Rate

T = TypeVar("T")


class Shared(Generic[T]):
    """What `make` makes: anew for the first few who ask in a second, and then what was made last, a second ago at most.

    Who asks while it is being made waits for that one. What `make` raises they all are told.
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]], rate: Rate | None = None) -> None:
        self._make = make
        self._rate = rate or Rate(per_s=1, burst=20)
        self._making: asyncio.Task[T] | None = None
        self._last: list[T] = []  # of one at most

    async def get(self) -> T:
        if self._making is None:
            if not self._rate.take() and self._last:
                return self._last[0]
            self._making = asyncio.create_task(self._anew())
        return await asyncio.shield(self._making)

    async def _anew(self) -> T:
        try:
            made = await self._make()
        finally:
            self._making = None
        self._last = [made]
        return made
