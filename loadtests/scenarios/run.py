"""One run of a scenario: which request is due next, and when all of it is over."""

import random
import time
from collections.abc import Callable, Iterator, Sequence

from loadtests.scenarios.arrivals import Arrivals, Phase, due_times
from loadtests.scenarios.record import Record
from loadtests.scenarios.traffic import Request

SEED = 7
DRAIN_S = 30.0  # how long the last requests may take
_LEAD_S = 0.2  # between the start and the first phase, for all users to wait by then


class Run:
    """What all users share; `clock` in seconds."""

    def __init__(
        self,
        phases: Sequence[Phase],
        traffic: Iterator[Request],
        arrivals: Arrivals,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.began_at = time.time() + _LEAD_S  # epoch seconds
        self.records = [Record(phase) for phase in phases]
        self._taken = 0  # requests that a user has in hand: it waits until they are due, or for their answers
        self._traffic = traffic
        self._clock = clock
        self._began = clock() + _LEAD_S
        self._ends = self._began + sum(phase.seconds for phase in phases)
        self._due = self._all_due(arrivals)
        self._sent_all = False
        self._cpu = time.process_time()

    def next(self) -> tuple[Record, float, float, Request] | None:
        """A request, what to record it in, and when it is due: in its phase and on the clock. None after the last."""
        found = next(self._due, None)
        if found is None:
            self._sent_all = True
            return None
        self._taken += 1
        return (*found, next(self._traffic))

    def done(self) -> None:
        """A request that was taken is answered, or has failed."""
        self._taken -= 1

    @property
    def over(self) -> bool:
        """Whether all is sent and answered, or has had its time."""
        return self._clock() > self._ends + DRAIN_S or (self._sent_all and not self._taken)

    @property
    def cpu_share(self) -> float:
        """Of a core, by this process since the first phase began."""
        return (time.process_time() - self._cpu) / max(self._clock() - self._began, 1e-9)

    def _all_due(self, arrivals: Arrivals) -> Iterator[tuple[Record, float, float]]:
        draw = random.Random(SEED)
        began = self._began
        for record in self.records:
            for due in due_times(record.phase.stretches, arrivals, draw):
                yield record, due, began + due
            began += record.phase.seconds
