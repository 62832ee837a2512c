"""The workloads at a fixed rate: which models with which cache, which scenario, and what it is held to."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from loadtests.payloads import Workload as Model
from loadtests.platform import Platform, artifact, platform
from loadtests.scenarios.traffic import EXPONENT, MIX

Balancer = Literal["gateway", "envoy"]
BALANCERS: tuple[Balancer, ...] = ("gateway", "envoy")

BAR_MEAN_MS = 80.0  # what the design was given
AIM_MEAN_MS, AIM_P99_MS = 10.0, 60.0
MISSES_PER_S = 60.0  # of minilm: about half of what two cores can compute


@dataclass(frozen=True)
class Workload:
    """`warm_up` says what the phase before the counted one is for."""

    name: str
    about: str
    scenario: str
    cache_ttl_s: Mapping[Model, int]  # of each model that it asks
    warmup_s: float
    warm_up: str


WORKLOADS = (
    Workload(
        name="nothing cached",
        about="distinct real sentences to the classifier, each once before any comes again; the cache is"
        " switched off for it, so that every one is computed",
        scenario="steady",
        cache_ttl_s={"sentiment": 0},
        warmup_s=10,
        warm_up="warm-up",
    ),
    Workload(
        name="as traffic is",
        about=f"{' and '.join(f'{share:.0%} to {model}' for model, share in MIX.items())}; of the real"
        f" sentences the k-th most wanted in proportion to k^-{EXPONENT:g} (Zipf), for each model in an order of its"
        " own; answers are cached for an hour, and the cache is empty when the cold start begins",
        scenario="mixed",
        cache_ttl_s={"sentiment": 3600, "minilm": 3600},
        warmup_s=60,
        warm_up="cold start",
    ),
)


@contextmanager
def stack(cache_ttl_s: Mapping[Model, int], balancer: Balancer) -> Iterator[Platform]:
    """Gateway, balancer, two workers, Valkey and PostgreSQL with these models, none of whose answers is cached yet."""
    artifacts = [artifact(model, seconds) for model, seconds in cache_ttl_s.items()]
    with platform(artifacts, postgres=True, envoy=balancer == "envoy") as running:
        yield running
