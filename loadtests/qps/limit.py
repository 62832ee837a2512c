"""The highest rate that holds a mean of 80 ms with nothing cached, beside what ONNX Runtime does on the same cores.

The load is the lean generator's and not Locust's: on two cores shared with the platform, Locust's 0.18 ms a request are
a third of a core at 2,000 a second, and what is found is where Locust falls behind. Arrivals (Poisson), sentences and
the clock, which starts when a request is due, are the same.
"""

from collections.abc import Callable

from loadtests.bare import Bare
from loadtests.payloads import Workload as Model
from loadtests.platform import Platform
from loadtests.processes import generate
from loadtests.qps.sampling import Sampler
from loadtests.qps.search import Attempt, Search, search, verdict
from loadtests.qps.workloads import BAR_MEAN_MS, Balancer, stack
from loadtests.scenarios.traffic import requests
from loadtests.sentences import corpus
from loadtests.spec import Spec

CONNECTIONS, WARMUP_S, SATURATE_S, PATIENCE_S = 256, 3.0, 8.0, 120.0


class Limit(Search):
    """Of one model behind one balancer; rates per second."""

    model: Model
    balancer: Balancer
    bar_mean_ms: float
    saturated: float  # in a closed loop, whatever the latency
    bare: Bare


def find(model: Model, balancer: Balancer, seconds: float, bare: Bare) -> Limit:
    """Search for the rate and hold it for `seconds`."""
    bodies = [request.body.decode() for request in requests(model, corpus())]
    with stack({model: 0}, balancer) as running:
        url = running.target(model).url
        spec = Spec(url=url, bodies=bodies, connections=CONNECTIONS, warmup_s=WARMUP_S, arrivals="poisson")
        saturated = generate({**spec, "seconds": SATURATE_S})["rate"]
        found = search(_runner(running, spec), saturated, seconds)
    return Limit(model=model, balancer=balancer, bar_mean_ms=BAR_MEAN_MS, saturated=saturated, bare=bare, **found)


def _runner(platform: Platform, spec: Spec) -> Callable[[float, float], Attempt]:
    def at(rate: float, seconds: float) -> Attempt:
        with Sampler(platform.pids).running() as sampler:
            report = generate(
                {**spec, "rate": rate, "seconds": seconds},
                limit_s=seconds + WARMUP_S + PATIENCE_S,
                started=lambda pid: sampler.watch("generator", pid),
            )
        said = verdict(report, BAR_MEAN_MS)
        print(
            f"  {rate:8.1f}/s  mean {report['mean_ms']:.1f} ms, lag {report['lag_mean_ms'] or 0:.1f} ms of it: {said}",
            flush=True,
        )
        usage = sampler.usage(report["began"], seconds)
        return Attempt(rate=rate, seconds=seconds, report=report, usage=usage, verdict=said)

    return at
