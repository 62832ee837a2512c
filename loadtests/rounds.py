"""Several servers under the same load, by turns, so that what the machine does meanwhile befalls them all."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from loadtests.payloads import Workload, items
from loadtests.peers.known import PEERS
from loadtests.processes import generate
from loadtests.results import faults, median
from loadtests.spec import Report, Spec
from loadtests.target import Target

ROUNDS = 3
Start = Callable[[], contextlib.AbstractContextManager[Target]]


def closed_loop(target: Target, workload: Workload, connections: int, seconds: float, warmup_s: float) -> Report:
    """Load the target with as many requests in flight as there are connections."""
    bodies = [target.dialect.encode(item) for item in items(workload)]
    return generate(
        Spec(url=target.url, bodies=bodies, connections=connections, seconds=seconds, warmup_s=warmup_s),
    )


def one_turn(name: str, start: Start, workload: Workload, **load: Any) -> Report:
    """Start one server, check its answer, load it, stop it."""
    with start() as target:
        target.check(items(workload)[0])
        report = closed_loop(target, workload, **load)
    said = f" ({report['invalid']}: {report['first_failure']})" if report["invalid"] else ""
    print(
        f"  {name:<10} {report['rate']:8.1f}/s  p50 {report['p50_ms']:.1f} ms  p99 {report['p99_ms']:.1f} ms{said}",
        flush=True,
    )
    return report


def peer_starts(workload: Workload) -> dict[str, Start]:
    """How to start each peer that serves the workload and is installed here."""

    def start(index: int) -> Start:
        return lambda: PEERS[index].running(workload)

    return {peer.name: start(index) for index, peer in enumerate(PEERS) if workload in peer.tuned and peer.installed}


def missing_peers(workload: Workload) -> list[str]:
    """A note on the peers that are not compared with, as they are not installed."""
    names = [peer.name for peer in PEERS if workload in peer.tuned and not peer.installed]
    return [f"not installed (make bench-peers): {', '.join(names)}"] if names else []


def rates(reports: Mapping[str, list[Report]]) -> dict[str, float]:
    """The median rate of each server."""
    return {name: median(of_server, "rate") for name, of_server in reports.items()}


def doubts(reports: Mapping[str, list[Report]], *names: str) -> list[str]:
    """What makes the rounds of these servers doubtful."""
    return [f"{name}: {fault}" for name in names for fault in faults(reports[name])]
