"""How many cached answers one gateway process gives: out of its own memory, and when only Redis holds them."""

from collections.abc import Mapping
from typing import Literal

from loadtests.payloads import items
from loadtests.platform import Platform, artifact, platform
from loadtests.processes import generate
from loadtests.results import Figure, Result, faults, figure, median, result
from loadtests.rounds import ROUNDS
from loadtests.spec import Report, Spec

CONNECTIONS = 32
SECONDS = 6.0
LEAST_HITS = 0.99  # of the answers, or the run is not one of cache hits
TARGETS: Mapping[Literal["memory", "shared"], float] = {"memory": 6000, "shared": 3000}


def measure() -> Result:
    """Both stores, by turns. Raises RuntimeError where answers came from elsewhere than the store that is measured."""
    reports: dict[Literal["memory", "shared"], list[Report]] = {store: [] for store in TARGETS}
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}")
        for store, of_store in reports.items():
            environment = {"HEADRACE_CACHE_MEMORY_BYTES": "0"} if store == "shared" else {}
            with platform([artifact("overhead", cache_ttl_s=3600)], workers=1, environment=environment) as running:
                of_store.append(_hits(running, store))
            report = of_store[-1]
            print(
                f"  {store:<10} {report['rate']:8.1f}/s, generator at {report['cpu_share']:.0%} of a core", flush=True
            )
    figures = [_figure(store, of_store) for store, of_store in reports.items()]
    about = "overhead model, 1,000 different requests asked once before and then over and over, one gateway process"
    return result("cache_hits", about, figures, {"reports": reports})


def _hits(running: Platform, store: Literal["memory", "shared"]) -> Report:
    target = running.target("overhead")
    bodies = [target.dialect.encode(item) for item in items("overhead")]
    # Twice, the first time with few in flight: writes to Redis go on behind the answer, and more at once are dropped.
    for connections in (8, CONNECTIONS):
        generate(Spec(url=target.url, bodies=bodies, connections=connections, requests=len(bodies)))
    before = running.cache_counters()
    spec = Spec(url=target.url, bodies=bodies, connections=CONNECTIONS, seconds=SECONDS, count_header="x-cache")
    report = generate(spec)
    after = running.cache_counters()
    counted = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    hits = counted.get(f"hits_{store}", 0)
    if report["header_values"].get("hit", 0) != hits or hits < LEAST_HITS * report["count"]:
        raise RuntimeError(f"of {report['count']} answers {hits:.0f} came from {store}: {counted}")
    # An operation of Redis that takes over 50 ms is given up, and the answer computed: such an answer is no hit.
    report["rate"] = hits / report["seconds"]
    return report


def _figure(store: Literal["memory", "shared"], reports: list[Report]) -> Figure:
    share = median(reports, "cpu_share")
    hits = sum(report["header_values"]["hit"] for report in reports)
    others = sum(report["count"] for report in reports) - hits
    notes = [
        f"{hits:,} hits, the source of every one asserted from the gateway's counters; {others:,} answers were no hits",
        f"generator at {share:.0%} of a core, and waiting for one {median(reports, 'starved_share'):.0%} of the time",
        f"p50 {median(reports, 'p50_ms'):.1f} ms, p99 {median(reports, 'p99_ms'):.1f} ms",
        *faults(reports),
    ]
    what = {"memory": "cache hits held in memory", "shared": "cache hits that only Redis holds"}[store]
    return figure(what, median(reports, "rate"), "requests/s", at_least=TARGETS[store], notes=notes)
