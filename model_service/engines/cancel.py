"""Cancels an engine's run that nobody waits for any more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class CancelToken:
    """Belongs to one run of an engine: the run is in a thread, whoever cancels it is in the event loop."""

    __slots__ = ("_stop", "cancelled")

    def __init__(self) -> None:
        self.cancelled = False
        self._stop: Callable[[], None] | None = None

    def cancel(self) -> None:
        """Ask the run to end, now or when it begins."""
        self.cancelled = True
        if (stop := self._stop) is not None:
            stop()

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `cancel` calls `stop`, which may be called twice, and late: after the block."""
        self._stop = stop
        # Whichever of the two threads comes second sees what the other has set.
        if self.cancelled:
            stop()
        try:
            yield
        finally:
            self._stop = None
