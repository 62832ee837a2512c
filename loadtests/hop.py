"""What gateway and balancer add: the same requests at a fixed rate, asked of the worker directly and of the gateway."""

from loadtests.payloads import items
from loadtests.platform import artifact, platform
from loadtests.processes import generate
from loadtests.results import Result, faults, figure, median, result
from loadtests.spec import Report, Spec
from loadtests.target import Target

RATE = 300.0
CONNECTIONS = 64  # the most in flight: far more than that rate needs
ROUNDS = 5
SECONDS, WARMUP_S = 6.0, 1.0
TARGETS_MS = {"p50_ms": 1.5, "p99_ms": 8.0}


def measure() -> Result:
    """Both ways by turns, over the same running platform."""
    reports: dict[str, list[Report]] = {"worker": [], "headrace": []}
    with platform([artifact("overhead")]) as running:
        targets = [running.worker_target("overhead"), running.target("overhead")]
        for target in targets:
            target.check(items("overhead")[0])
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}")
            for target in targets if number % 2 == 0 else reversed(targets):
                reports[target.name].append(_open_loop(target))
    figures = []
    for key, limit in TARGETS_MS.items():
        direct, through = median(reports["worker"], key), median(reports["headrace"], key)
        notes = [f"{through:.2f} ms through the gateway, {direct:.2f} ms from the worker"]
        notes += faults(reports["worker"] + reports["headrace"])
        figures.append(
            figure(
                f"{key.removesuffix('_ms')} added by the gateway", through - direct, "ms", at_most=limit, notes=notes
            )
        )
    about = (
        f"overhead model as JSON, open loop at {RATE:.0f} requests/s, latency from when each was due, nothing cached"
    )
    return result("hop", about, figures, {"reports": reports})


def _open_loop(target: Target) -> Report:
    bodies = [target.dialect.encode(item) for item in items("overhead")]
    report = generate(
        Spec(url=target.url, bodies=bodies, connections=CONNECTIONS, rate=RATE, seconds=SECONDS, warmup_s=WARMUP_S)
    )
    print(f"  {target.name:<10} p50 {report['p50_ms']:.2f} ms  p99 {report['p99_ms']:.2f} ms", flush=True)
    return report
