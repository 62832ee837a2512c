"""How many requests are served at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from model_service.protocol.errors import TooManyRequests


class Admission:
    """`with admission:` takes one of `limit` places or raises TooManyRequests: waiting would only hide the load."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0

    def __enter__(self) -> None:
        if self.in_flight >= self.limit:
            raise TooManyRequests(f"{self.limit} requests are being served, which is the limit", retry_after=1)
        self.in_flight += 1

    @contextmanager
    def left(self) -> Iterator[None]:
        """Give the place back for as long as the block lasts, as one who waits is not being served."""
        self.in_flight -= 1
        try:
            yield
        finally:
            self.in_flight += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_flight -= 1
