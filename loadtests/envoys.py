"""The way of a request in containers, hop by hop: with Envoy before gateway, workers, and both."""

import statistics
from typing import Final

import psutil

from loadtests.payloads import items
from loadtests.platform import Platform, artifact, platform
from loadtests.processes import family, generate, processor_s
from loadtests.results import Result, figure, result
from loadtests.rounds import ROUNDS
from loadtests.spec import Spec, Turn

WAYS: Final = {  # whether there is one at the edge, and before the workers
    "the gateway's own balancer": (False, False),
    "Envoy before the workers": (False, True),
    "Envoy before the gateway": (True, False),
    "both, as in containers": (True, True),
}
CONNECTIONS: Final = 32
SECONDS, WARMUP_S = 6.0, 1.5
DIRECT, CONTAINERS = next(iter(WAYS)), [*WAYS][-1]


def measure() -> Result:
    """All ways by turns, each Envoy with one thread."""
    turns: dict[str, list[Turn]] = {way: [] for way in WAYS}
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}")
        for way, (edge, envoy) in WAYS.items():
            with platform([artifact("overhead")], edge=edge, envoy=envoy) as running:
                turns[way].append(_turn(running))
            print(f"  {way:<27} {turns[way][-1]['report']['rate']:8.0f}/s, {_told([turns[way][-1]])}", flush=True)
    rates = {way: statistics.median(turn["report"]["rate"] for turn in of_way) for way, of_way in turns.items()}
    figures = [figure(way, rate, "requests/s", notes=[_told(turns[way])]) for way, rate in rates.items()]
    figures += [
        figure(f"{way}, against {DIRECT}", rates[way] / rates[DIRECT], "x", at_least=0.6 if way == CONTAINERS else None)
        for way in WAYS
        if way != DIRECT
    ]
    about = f"overhead model as JSON, {CONNECTIONS} connections, nothing cached, all processes on the same cores"
    return result("envoys", about, figures, {"turns": turns})


def _turn(running: Platform) -> Turn:
    target = running.target("overhead")
    bodies = [target.dialect.encode(item) for item in items("overhead")]
    spec = Spec(url=target.url, bodies=bodies, connections=CONNECTIONS, seconds=WARMUP_S)
    generate(spec)
    before = _spent(running)
    report = generate({**spec, "seconds": SECONDS})
    spent = {name: seconds - before[name] for name, seconds in _spent(running).items()}
    return Turn(report=report, spent_us={name: of / report["count"] * 1e6 for name, of in spent.items()})


def _spent(running: Platform) -> dict[str, float]:
    """Seconds of processor so far; a worker's engines are its children and count for it, and the workers are one."""
    found: dict[str, float] = {}
    for name, pid in running.pids.items():
        kind = name.rstrip(" 0123456789")
        found[kind] = found.get(kind, 0.0) + processor_s(family(psutil.Process(pid)))
    return found


def _told(turns: list[Turn]) -> str:
    spent = {name: statistics.median(turn["spent_us"][name] for turn in turns) for name in turns[0]["spent_us"]}
    return "us of processor a request: " + ", ".join(f"{name} {us:.0f}" for name, us in spent.items() if us >= 0.5)
