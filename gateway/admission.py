"""How many requests are served at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from wire.errors import TooManyRequests


class Admission:
    """`with admission:` takes one of `limit` places or raises TooManyRequests: waiting would only hide the load."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0

    def check(self) -> None:
        """Raise TooManyRequests where there is no place now, without taking one."""
        if self.in_flight >= self.limit:
            raise TooManyRequests(f"{self.limit} requests are being served, which is the limit", retry_after=1)

    def __enter__(self) -> None:
        self.check()
        self.in_flight += 1

    @contextmanager
    def yield_place(self) -> Iterator[None]:
        """Free the place while the block lasts: a request that waits for a model is not being served."""
        self.in_flight -= 1
        try:
            yield
        finally:
            self.in_flight += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_flight -= 1
