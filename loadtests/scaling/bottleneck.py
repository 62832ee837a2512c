"""What each part must carry at a rate, beside what one of them was measured to carry, and so which is full first."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from loadtests.scaling.manifests import Manifests
from loadtests.scaling.measured import (
    GATEWAY_POLLS_PER_S,
    POSTGRES_CONNECTIONS,
    WORKER_POLLS_PER_S,
    Measured,
)


@dataclass(frozen=True)
class Part:
    """A part of the platform: how many there are as shipped, what one carries, and at how many requests per second all
    of them are full. `uses` has, for each rate asked about, how many full ones it would take."""

    name: str
    one_carries: str
    shipped: float
    full_at: float
    uses: dict[int, float]


def parts(rates: list[int], found: Measured, manifests: Manifests, workload: str = "minilm") -> list[Part]:
    """The one that is full first comes first. Nothing is cached but in the part Redis, where nothing hits."""
    service = found.services[workload]
    worker, gateway = manifests.worker, manifests.gateway
    envoys = manifests.envoys * manifests.envoy_cores

    def linear(name: str, one: str, rate: float, shipped: float) -> Part:
        return Part(name, one, shipped, rate * shipped, {each: each / rate for each in rates})

    def processes(rate: float) -> tuple[float, float]:
        """Gateways and workers at a rate, as busy as the autoscaler lets them be."""
        return (
            max(gateway.minimum, rate / service.gateway_rate / gateway.cpu),
            max(worker.minimum, rate / service.worker_rate / worker.cpu),
        )

    def database(rate: float) -> float:
        """Cores of PostgreSQL that the polls take."""
        gateways, workers = processes(rate)
        of_gateways = GATEWAY_POLLS_PER_S * gateways * found.gateway_poll.at(workers)
        return (of_gateways + WORKER_POLLS_PER_S * workers * found.worker_poll.at(workers)) / 1000

    def reading(rate: float) -> float:
        """The share of each gateway's core that reading the registry takes."""
        return GATEWAY_POLLS_PER_S * found.gateway_own.at(processes(rate)[1]) / 1000

    def connections(rate: float) -> float:
        return sum(processes(rate)) / POSTGRES_CONNECTIONS

    lookups = found.redis_lookups
    listed = [
        linear(f"workers ({workload})", f"{service.worker_rate:,.0f} requests/s", service.worker_rate, worker.maximum),
        linear("gateways", f"{service.gateway_rate:,.0f} requests/s", service.gateway_rate, gateway.maximum),
        linear("Envoy's cores", f"{found.envoy_rate:,.0f} requests/s", found.envoy_rate, envoys),
        linear("Redis (all looked up, nothing hits)", f"{lookups:,.0f} operations/s", lookups / 2, 1),
        Part("PostgreSQL's cores", "polls", 1, _full(database), {rate: database(rate) for rate in rates}),
        Part(
            "PostgreSQL's connections",
            f"{POSTGRES_CONNECTIONS} processes",
            1,
            _full(connections),
            {rate: connections(rate) for rate in rates},
        ),
        Part(
            "a gateway's reading of the registry", "polls", 1, _full(reading), {rate: reading(rate) for rate in rates}
        ),
    ]
    return sorted(listed, key=lambda part: part.full_at)


def _full(use: Callable[[float], float]) -> float:
    """The rate at which a use that grows with it reaches 1, to three digits."""
    low, high = 1.0, 1e9
    while high / low > 1.0005:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if use(middle) < 1 else (low, middle)
    return low
