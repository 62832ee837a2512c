"""Queues in front of replicas, a second at a time: a fluid for what is too much, a formula for what is left to chance.

A second's requests flow in and as many flow out as the replicas can serve; the rest waits, or is refused where the
queue is full. What a fluid does not show is that requests come by chance, and so wait while there is room on average:
that wait is Sakasegawa's approximation of the M/M/k queue, of Poisson arrivals at k replicas that serve one request at
a time. Batches are in the rate that was measured and nowhere else.
"""

import math
from dataclasses import dataclass
from typing import Final

# Above it the formula grows without bound, and the fluid queue tells what happens.
BUSIEST: Final = 0.98


@dataclass(frozen=True, slots=True)
class Second:
    """What became of a second's requests. `busy` is the share of the replicas' time, `wait_s` their mean wait."""

    served: float
    refused: float
    busy: float
    wait_s: float


@dataclass(slots=True)
class Queue:
    """Requests that wait for a replica; each serves `rate` a second. Every one is served, refused or in `backlog`."""

    rate: float
    backlog: float = 0.0

    def step(self, arrived: float, replicas: int, room: float) -> Second:
        """A second in which `arrived` requests came to so many replicas, and at most `room` may wait after it."""
        capacity = self.rate * replicas
        offered = self.backlog + arrived
        served = min(offered, capacity)
        waiting = offered - served
        self.backlog = min(waiting, max(room, 0.0))
        busy = served / capacity if capacity else 1.0
        wait_s = self.backlog / capacity if capacity else math.inf
        return Second(served, waiting - self.backlog, busy, wait_s + chance_wait_s(busy, replicas, self.rate))


def chance_wait_s(busy: float, replicas: int, rate: float) -> float:
    """Mean wait for one of `replicas` that serve `rate` a second each and are `busy` (0 to 1) of the time.

    Hirotaka Sakasegawa, "An approximation formula L_q = a rho^beta / (1 - rho)", 1977; exact for one replica.
    """
    busy = min(busy, BUSIEST)
    if not replicas or busy <= 0:
        return 0.0
    return float(busy ** (math.sqrt(2 * (replicas + 1)) - 1)) / (replicas * (1 - busy) * rate)
