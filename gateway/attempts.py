"""Which replicas a request has been sent to, and which it may be sent to next."""

from collections.abc import Sequence
from typing import Final

from gateway.balancer import Replica

# One for the first replica, one for where it fails, and one for where the next is only just starting.
ATTEMPTS: Final = 3


class Attempts:
    """Of one request, which may be sent `most` times, once to each of `replicas` before any is asked again.

    Where none is left that has not been tried, those that were only silent are: they may be starting the engine anew.
    """

    __slots__ = ("_most", "_replicas", "_silent", "tried")

    def __init__(self, replicas: Sequence[Replica], most: int = ATTEMPTS) -> None:
        self._replicas = replicas
        self._most = most
        self._silent: list[Replica] = []
        self.tried: list[Replica] = []

    @property
    def candidates(self) -> Sequence[Replica]:
        """From whom the next one is chosen."""
        return self._replicas if self._some_untried else self._silent or self._replicas

    @property
    def left(self) -> bool:
        """Whether it may be sent once more."""
        return len(self.tried) < self._most

    @property
    def untried_left(self) -> bool:
        """Whether it may be sent to a replica that has not been tried."""
        return self.left and self._some_untried

    @property
    def elsewhere_left(self) -> bool:
        """Whether it may be sent to one that has not refused it or broken off."""
        return self.left and (self._some_untried or bool(self._silent))

    @property
    def after_failure_left(self) -> bool:
        """Whether it is sent once more where a connection fails: the only replica is asked twice."""
        return self.elsewhere_left or (self.left and len(self.tried) == 1)

    @property
    def _some_untried(self) -> bool:
        return len(self.tried) < len(self._replicas)

    def begin(self, replica: Replica) -> None:
        """It is being sent to `replica`."""
        self.tried.append(replica)

    def record_silence(self) -> None:
        """The last one that was tried has not answered, and may do so yet."""
        self._silent.append(self.tried[-1])
