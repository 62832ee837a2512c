"""Chooses a replica: the one with the fewest outstanding requests among those that are well."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import randrange
from time import monotonic

from service.address import address_of
from wire.errors import WorkerUnavailable

EJECT_S = 1.0  # after the first connection failure; doubles with each further one
EJECT_MAX_S = 30.0


@dataclass(slots=True, eq=False)
class Replica:
    """A running worker, as this gateway sees it, or a load balancer with several `workers` behind it.

    It outlives the route tables that name it.
    """

    id: str
    url: str
    host: str
    port: int
    workers: int = 1
    outstanding: int = 0
    failures: int = 0  # connection failures in a row
    ejected_until: float = 0.0
    healthy: bool = True  # what the last health check said
    answered_at: float | None = None  # when it was last found well, in monotonic seconds
    heard_at: float = 0.0  # when its last answer to any request came, in monotonic seconds

    @classmethod
    def at(cls, url: str, id: str | None = None) -> "Replica":
        """The replica behind `http://host:port`. ValueError where the URL is not like that."""
        host, port = address_of(url)
        return cls(id or url, url, host, port)

    def record_success(self, now: float) -> None:
        """It answered, so whatever was wrong with its connections is over."""
        self.heard_at = now
        self.failures = 0
        self.ejected_until = 0.0

    def record_failure(self) -> None:
        """A connection to it failed: leave it alone for a while, longer each time."""
        # A float holds no power of two above 1,023: it is limited before it is computed.
        self.ejected_until = monotonic() + min(EJECT_S * 2.0 ** min(self.failures, 32), EJECT_MAX_S)
        self.failures += 1

    def available(self, now: float) -> bool:
        return self.healthy and now >= self.ejected_until


class Balancer:
    """Least outstanding requests; replicas with equally many take turns, or the same one goes on."""

    def __init__(self) -> None:
        self._turn = randrange(1 << 16)  # gateways begin with different ones

    def choose(self, replicas: Sequence[Replica], avoid: Collection[Replica] = (), *, stay: bool = False) -> Replica:
        """A replica for one request, none of `avoid` where there is another.

        With `stay` the one that was asked last is asked again unless it has more to do than another: what it needs is
        still in its processor's caches. That is worth more than it costs where answers are quick.
        Where none is well, all are tried again: a wrong verdict must not refuse what might be answered.
        Raises WorkerUnavailable where there is none at all.
        """
        if not replicas:
            raise WorkerUnavailable(retry_after=1)
        now = monotonic()
        candidates = [r for r in replicas if r.available(now) and r not in avoid]
        if not candidates:
            candidates = [r for r in replicas if r not in avoid] or list(replicas)
        self._turn += not stay
        start = self._turn % len(candidates)
        return min(candidates[start:] + candidates[:start], key=_outstanding)


def _outstanding(replica: Replica) -> int:
    return replica.outstanding
