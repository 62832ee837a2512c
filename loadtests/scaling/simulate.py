"""A day of gateways and workers under their autoscalers, second by second. Deterministic: the same in, the same out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from loadtests.scaling.autoscaler import SYNC_S, Autoscaler, by_average, by_utilization, by_value
from loadtests.scaling.manifests import Manifests, Scaling
from loadtests.scaling.queueing import Queue, Second

QUERY_WINDOW_S: Final = 60  # [1m] in the queries of both ScaledObjects
CPU_WINDOW_S: Final = 15  # --metric-resolution of the metrics server
# Assumed, not measured: the image is on the node, the process starts and loads what it serves.
START_S: Final = {"gateway": 5, "worker": 15}


@dataclass(frozen=True)
class Service:
    """What was measured: requests a second of one gateway and one worker, and the seconds that a request takes where
    nobody waits. `gateway_room` and `worker_room` are how many may be in one before it refuses more."""

    gateway_rate: float
    worker_rate: float
    latency_s: float
    gateway_room: int
    worker_room: int


@dataclass
class Tier:
    """Replicas of one kind: those that serve, and when the others begin to."""

    name: str
    scaling: Scaling
    queue: Queue
    replicas: int
    starting: list[float] = field(default_factory=list)  # when each was asked for
    busy: list[float] = field(default_factory=list)  # cores in use, of each second

    def __post_init__(self) -> None:
        self.autoscaler = Autoscaler(self.scaling, self.replicas)

    def ready(self, now: float) -> int:
        """Replicas that say ready, as the autoscaler counts them."""
        return self.replicas - sum(now - at < START_S[self.name] for at in self.starting)

    def serving(self, now: float) -> int:
        """Replicas that requests come to."""
        after = START_S[self.name] + self.scaling.seen_after_s
        self.starting = [at for at in self.starting if now - at < after]
        return self.replicas - len(self.starting)

    def step(self, now: float, arrived: float, room: float) -> Second:
        serving = self.serving(now)
        second = self.queue.step(arrived, serving, room)
        self.busy.append(second.busy * serving * self.scaling.cores)
        return second

    def scale(self, now: float, measure: float) -> None:
        """What the HorizontalPodAutoscaler does at a sync, where the query's answer is `measure`."""
        count, ready = self.replicas, self.ready(now)
        used = self.busy[-CPU_WINDOW_S:]
        by_cpu = by_utilization(sum(used) / len(used), self.scaling.cores, self.scaling.cpu, count, ready)
        if self.scaling.metric == "Value":
            by_query = by_value(measure, self.scaling.threshold, count, ready)
        else:
            by_query = by_average(measure, self.scaling.threshold, count)
        self.replicas = self.autoscaler.decide(now, [by_cpu, by_query])
        # Of replicas that are too many those go first that have not begun to serve, the youngest first.
        self.starting += [now] * (self.replicas - count)
        if self.replicas < count:
            del self.starting[max(0, len(self.starting) - (count - self.replicas)) :]


@dataclass(frozen=True)
class Day:
    """A second's values in each list; totals of requests; requests that still waited at the end."""

    arrived: list[float]
    served: float
    refused: float
    left: float
    gateways: list[int]
    workers: list[int]
    wait_s: list[float]  # mean, in both queues together


def simulate(rates: Sequence[float], service: Service, manifests: Manifests) -> Day:
    """The day on which `rates[s]` requests come in second s. It begins with as many replicas as its start needs."""
    gateway = _tier("gateway", manifests.gateway, service.gateway_rate, rates[0])
    worker = _tier("worker", manifests.worker, service.worker_rate, rates[0])
    in_flight: list[float] = []
    queued: list[tuple[float, float]] = []  # requests that a worker took, and seconds that they waited in all
    day = Day(list(rates), 0.0, 0.0, 0.0, [], [], [])
    served = refused = 0.0
    for now, arrived in enumerate(rates):
        # What waits at a worker is in flight in a gateway too.
        in_gateways = gateway.serving(now) * service.gateway_room
        entered = gateway.step(now, arrived, in_gateways - worker.queue.backlog)
        in_workers = worker.serving(now) * service.worker_room
        answered = worker.step(now, entered.served, min(in_gateways, in_workers))
        served += answered.served
        refused += entered.refused + answered.refused
        waiting = gateway.queue.backlog + worker.queue.backlog
        in_flight.append(waiting + answered.served * service.latency_s)  # Little's law
        queued.append((answered.served, answered.served * answered.wait_s))
        day.gateways.append(gateway.replicas)
        day.workers.append(worker.replicas)
        day.wait_s.append(entered.wait_s + answered.wait_s)
        if (now + 1) % SYNC_S == 0:
            window = in_flight[-QUERY_WINDOW_S:]
            gateway.scale(now, sum(window) / len(window))
            taken = sum(count for count, _ in queued[-QUERY_WINDOW_S:])
            waited = sum(seconds for _, seconds in queued[-QUERY_WINDOW_S:])
            worker.scale(now, waited / taken if taken else 0.0)
    left = gateway.queue.backlog + worker.queue.backlog
    return Day(day.arrived, served, refused, left, day.gateways, day.workers, day.wait_s)


def wait_percentile(day: Day, share: float) -> float:
    """The wait in seconds that this share of all requests has at most, each having its second's mean."""
    order = sorted(range(len(day.wait_s)), key=lambda second: day.wait_s[second])
    total = sum(day.arrived)
    for second, passed in zip(order, accumulate(day.arrived[second] for second in order), strict=True):
        if passed >= share * total:
            return day.wait_s[second]
    return day.wait_s[order[-1]]


def _tier(name: str, scaling: Scaling, rate: float, requests: float) -> Tier:
    needed = by_average(requests / rate, scaling.cpu, scaling.minimum)
    return Tier(name, scaling, Queue(rate), min(scaling.maximum, max(scaling.minimum, needed)))
