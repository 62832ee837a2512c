"""docs/scaling.md, out of loadtests/results/scaling.json and nothing else."""

from pathlib import Path
from textwrap import fill
from typing import Any, Final

from loadtests.results import Result
from loadtests.scaling.autoscaler import SYNC_S, TOLERANCE
from loadtests.scaling.measured import POSTGRES_CONNECTIONS
from loadtests.scaling.registry_polls import WORKERS
from loadtests.scaling.runs import HOURS_OF
from loadtests.scaling.simulate import CPU_WINDOW_S, QUERY_WINDOW_S, START_S
from loadtests.scaling.tables import days_section, idle_section, steps_section

WIDTH: Final = 119
PAGE: Final = Path(__file__).parents[2] / "docs" / "scaling.md"


def markdown(found: Result) -> str:
    """The page."""
    rounds = found["rounds"]
    sections = (_head, days_section, steps_section, idle_section, _bottlenecks, _model)
    return "\n".join(_flowed(section(rounds)) for section in sections)


def _flowed(section: str) -> str:
    """The section with paragraphs and points broken where lines are full; headings and tables as they are."""
    lines: list[str] = []
    for line in section.splitlines():
        goes_on = lines and lines[-1] and line and not line.startswith(("- ", "|", "#")) and lines[-1][0] not in "|#"
        if goes_on:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(line if line.startswith(("|", "#")) else _filled(line) for line in [*lines, ""])


def _filled(line: str) -> str:
    indent = "  " if line.startswith("- ") else ""
    return fill(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _head(rounds: dict[str, Any]) -> str:
    first, second, third, *_ = rounds["parts"]
    day = next(run for run in rounds["days"] if (run["workload"], run["peak"]) == HOURS_OF and not run["limited"])
    saved = 1 - day["core_hours"] / day["core_hours_at_most"]
    return f"""# Scaling, and what is full first

Written by `python -m loadtests.scaling`: a simulation, of the autoscalers as `deploy/kubernetes` sets them, over a
recorded day and with what was measured of one gateway and one worker ([results](../loadtests/results/README.md)).
Nothing here was run on a cluster. What is assumed is said [below](#what-is-simulated).

- **Full first**, with what is shipped and nothing cached: {first["name"]}, at {first["full_at"]:,.0f} requests
  per second. Then {second["name"]}, at {second["full_at"]:,.0f}; then {third["name"]},
  at {third["full_at"]:,.0f}.
- **A day's course** is followed without a queue, as long as the autoscalers may have what they ask for. With a peak
  of
  {day["peak"]:,} sentences per second that takes {day["core_hours"]:,.0f} core-hours, {saved:.0%} less than the
  day's
  most replicas all day long.
- **A sudden step** is not: pods take longer to come than the queue takes to fill.
"""


def _bottlenecks(rounds: dict[str, Any]) -> str:
    rates = list(rounds["parts"][0]["uses"])
    rows = [
        f"| {part['name']} | {part['one_carries']} | {part['shipped']:g} | {part['full_at']:,.0f} |"
        + "".join(f" {_use(part['uses'][rate])} |" for rate in rates)
        for part in rounds["parts"]
    ]
    columns = " | ".join(f"at {int(rate):,}" for rate in rates)
    said = _advice(rounds)
    advice = [text for part in rounds["parts"] for name, text in said.items() if part["name"].startswith(name)]
    return f"""## What is full first

For minilm, nothing cached. The columns of rates say how many full ones it takes; more than are shipped is too many.

| part | one carries | shipped | full at, requests/s | {columns} |
| --- | --- | ---: | ---: |{" ---: |" * len(rates)}
{chr(10).join(rows)}

What to do about each, in the order in which it is needed:

{chr(10).join(advice)}
"""


def _advice(rounds: dict[str, Any]) -> dict[str, str]:
    """What to do where a part is full, by what its name begins with."""
    known, manifests = rounds["measured"], rounds["manifests"]
    own, polls = known["gateway_own"], known["gateway_poll"]
    at_2000 = own["base_ms"] + 2000 * own["per_worker_ms"]
    return {
        "Envoy": f"""- **Envoy.** A request takes {1e6 / known["envoy_rate"]:.0f} us of its processor, so that a core
  that does
  nothing else carries {known["envoy_rate"]:,.0f} a second; its latency rises before that. Small tensor models send
  several
  requests in one, so that it sees fewer; texts go one by one. Each of the {manifests["envoys"]} asks for
  {manifests["envoy_cores"]:g} core and may take what else its node has, up to two. It is not scaled by itself: set
  `replicas`
  of `envoy`. It keeps no state, so this goes on as far as there are cores.""",
        "Redis": f"""- **Redis.** {known["redis_lookups"]:,.0f} lookups/s went through one gateway, on two cores that
  Valkey
  shared with it and with the load generator: a lower bound. A request that misses is a lookup and a write, which is
  counted as one more. What a gateway's own memory answers ({known["memory_hits"]:,.0f} requests/s of one process) does
  not reach it, so `HEADRACE_CACHE_MEMORY_BYTES` comes first, and no `cache_ttl_s` for models whose answers do not
  repeat.
  Past that: several platforms with a Redis each, as ours takes one server and no cluster. Where it is too slow the
  breaker opens, and requests go on without it.""",
        "workers": f"""- **Workers.** `maxReplicaCount`, and a faster variant of the model: they are
  {_workers_share(rounds):.0%} of the core-hours.""",
        "PostgreSQL's connections": f"""- **PostgreSQL's connections.** One a process at least, {POSTGRES_CONNECTIONS}
  as it is
  installed: raise its `max_connections`.""",
        "gateways": "- **Gateways.** `maxReplicaCount`.",
        "PostgreSQL's cores": f"""- **PostgreSQL's cores.** Requests never ask it; polls do, two a second of every
  process. A
  gateway's takes {polls["base_ms"]:.2f} ms of PostgreSQL and {1000 * polls["per_worker_ms"]:.1f} ms more for each
  thousand
  workers, as it reads them all, so that this grows with gateways times workers. `HEADRACE_GATEWAY_REFRESH_S` and
  `HEADRACE_WORKER_POLL_S` of 1 instead of 0.5 halve it; a new version is then noticed that much later.""",
        "a gateway's reading": f"""- **A gateway's own reading.** The same poll takes {own["base_ms"]:.1f} ms of the
  gateway's own
  time with no workers and, on the line through what was measured with {WORKERS[0]} and with {WORKERS[1]},
  {at_2000:.0f} ms
  with 2,000. That comes twice a second, and requests wait meanwhile, which the slowest answers should show long
  before it
  fills the core (that was not measured). So thousands of workers are better several platforms of some hundreds each
  behind one router, which divides Redis, PostgreSQL and this at once.""",
    }


def _workers_share(rounds: dict[str, Any]) -> float:
    day = next(run for run in rounds["days"] if (run["workload"], run["peak"]) == HOURS_OF and not run["limited"])
    workers = day["workers"][1] * rounds["manifests"]["worker"]["cores"] * 24
    return float(workers / day["core_hours"])


def _model(rounds: dict[str, Any]) -> str:
    trace, known, manifests = rounds["trace"], rounds["measured"], rounds["manifests"]
    minilm, overhead = known["services"]["minilm"], known["services"]["overhead"]
    return f"""## What is simulated

- **The day.** {trace["day"]} of `{trace["member"].rpartition("/")[2]}` in the source distribution of
  `{trace["package"]}` ({trace["licence"]}):
  counts of every minute, which Twitter published as the example of its AnomalyDetection. What was counted, and in
  what year, is not told. Fetched when the simulation is first run, not part of this repository. The
  mean is {trace["mean"]:.0%} of the busiest minute and the evening's lowest {trace["lowest"]:.0%}. It is scaled so
  that the busiest minute has
  the peak's rate, with straight lines between minutes: what happens within a minute it does not show.
- **One worker** ({manifests["worker"]["cores"]:g} cores) serves {minilm["worker_rate"]:,.0f} sentences/s (minilm)
  or {overhead["worker_rate"]:,.0f} requests/s (overhead, a
  small MLP), **one gateway** {overhead["gateway_rate"]:,.0f} requests/s. Each was measured with the whole platform
  and the load generator
  on two cores, so that alone each carries more; Envoy's own time is not simulated.
- **Queues.** A fluid in steps of a second: what the replicas cannot serve waits, up to {minilm["gateway_room"]:,}
  in flight a gateway and
  {minilm["worker_room"]:,} queued a worker, and is refused above. To that comes the wait by chance, M/M/k by
  Sakasegawa's
  approximation. Batches are in the rate that was measured and not in the wait.
- **The HorizontalPodAutoscaler.** ceil(replicas x metric / target) as Kubernetes documents it: every {SYNC_S} s,
  nothing
  within {TOLERANCE:.0%} of the target, the greatest of all metrics, pods that are not ready counted as it counts
  them, then
  stabilization windows and policies. Targets, limits, windows and policies are read from the manifests.
- **KEDA** hands the queries' answers on at each sync: requests in flight as AverageValue, queue time as Value, both
  over {QUERY_WINDOW_S} s. CPU is the mean of {CPU_WINDOW_S} s. Between none and one worker it decides by itself:
  every {rounds["activation"]["polling_s"]} s, active where requests have grown within
  {rounds["activation"]["window_s"]} s, none after {rounds["activation"]["cooldown_s"]} s of not being so.
- **Envoy** was measured by its processor time, of a real one with one thread and the configuration that is shipped,
  before workers that answer at once: the least of three rounds.
- **Assumed:** a gateway is ready after {START_S["gateway"]} s and a worker after {START_S["worker"]} s, with the
  image on the node and the node there. Envoy
  knows a worker {manifests["worker"]["seen_after_s"]} s later (`minReadySeconds`). Load spreads evenly, and pods
  that leave finish what they have.
"""


def _use(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
