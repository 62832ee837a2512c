"""What one of each was measured to carry, read from loadtests/results: no figure is written here a second time."""

import json
from dataclasses import dataclass
from typing import Final

from gateway.settings import GatewaySettings
from loadtests.results import FOLDER, Result
from loadtests.scaling.registry_polls import WORKERS
from loadtests.scaling.simulate import Service
from model_service.settings import WorkerSettings
from storage.manifest import Batching

# A PostgreSQL as it is installed: 100 connections, three of them kept for its superuser. A process holds one or more.
POSTGRES_CONNECTIONS: Final = 97
# As they are unless set otherwise, whatever this process's environment says.
GATEWAY_POLLS_PER_S: Final[float] = 1 / GatewaySettings.model_fields["refresh_s"].default
WORKER_POLLS_PER_S: Final[float] = 1 / WorkerSettings.model_fields["poll_s"].default


@dataclass(frozen=True)
class Poll:
    """Milliseconds that a poll of the registry takes, and how many more for each worker that the registry knows."""

    base_ms: float
    per_worker_ms: float

    def at(self, workers: float) -> float:
        return self.base_ms + self.per_worker_ms * workers


@dataclass(frozen=True)
class Measured:
    """Rates are requests per second; `envoy_rate` is that of a core.

    `gateway_poll` is PostgreSQL's time, `gateway_own` the gateway's for the same.
    """

    services: dict[str, Service]
    memory_hits: float
    redis_lookups: float
    envoy_rate: float
    gateway_poll: Poll
    gateway_own: Poll
    worker_poll: Poll


def measured() -> Measured:
    """Raises FileNotFoundError where a benchmark has no result yet, KeyError where it has no such figure."""
    # Both on two cores that were a worker's, the gateway's and the generator's together: each alone carries more.
    whole = _value("overhead", "headrace: 32 connections, JSON")
    sentences = _value("minilm", "headrace: 256 in flight")
    room = GatewaySettings.model_fields["max_in_flight"].default, Batching.model_fields["max_queue_rows"].default
    hop_s = _value("hop", "p50 added by the gateway") / 1000
    return Measured(
        services={
            "minilm": Service(whole, sentences, hop_s + 1 / sentences, *room),
            "overhead": Service(whole, whole, hop_s + 1 / whole, *room),
        },
        memory_hits=_value("cache_hits", "cache hits held in memory"),
        redis_lookups=_value("cache_hits", "cache hits that only Redis holds"),
        envoy_rate=1e6 / _value("envoy_rate", "Envoy, a sentence in and its vector out"),
        gateway_poll=_poll("gateway", "PostgreSQL's"),
        gateway_own=_poll("gateway", "its own"),
        worker_poll=_poll("worker", "PostgreSQL's"),
    )


def result_of(name: str) -> Result:
    """The result of a benchmark, as it was written."""
    found: Result = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def _value(name: str, what: str) -> float:
    return {each["what"]: each["value"] for each in result_of(name)["figures"]}[what]


def _poll(what: str, whose: str) -> Poll:
    """A line through what was measured with few workers and with many."""
    few, many = WORKERS
    low, high = (_value("registry_polls", f"{what}, {count} workers known, {whose} time") for count in WORKERS)
    per_worker = max(0.0, (high - low) / (many - few))
    return Poll(low - few * per_worker, per_worker)
