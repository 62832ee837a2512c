"""One gateway process and two that share its port, by turns: what a second one is worth on these cores."""

import statistics
from typing import Final

from loadtests.payloads import items, oip
from loadtests.processes import ROOT, generate
from loadtests.results import Figure, Result, figure, result
from loadtests.rounds import ROUNDS
from loadtests.spec import Spec, Turn
from loadtests.trees import PACKAGES, Running, running

COUNTS: Final = (1, 2)
LOADS: Final = {"nothing cached": {"cache-control": "no-cache"}, "all cached": {}}
CONNECTIONS: Final = (32, 256)
SECONDS, WARMUP_S = 5.0, 1.0
BODIES: Final = [oip("x").encode(item) for item in items("overhead")]


Key = tuple[str, int]  # what is cached, and the connections


def measure() -> Result:
    """Each round starts the one platform and then the other."""
    turns: dict[Key, dict[int, list[Turn]]] = {
        (load, connections): {count: [] for count in COUNTS} for load in LOADS for connections in CONNECTIONS
    }
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}")
        for count in COUNTS:
            with running(ROOT, ["--gateways", str(count)]) as platform:
                for (load, connections), of_count in turns.items():
                    of_count[count].append(turn := _turn(platform, load, connections))
                    about = f"{count} gateways, {load}, {connections} connections"
                    print(f"  {about:<46} {turn['report']['rate']:8.0f}/s", flush=True)
    figures = [figure for key, of_count in turns.items() for figure in _figures(key, of_count)]
    about = "overhead model as JSON, closed loop, two workers, all processes on the same cores"
    told = {f"{load}, {connections} connections": of_count for (load, connections), of_count in turns.items()}
    return result("gateways", about, figures, {"turns": told})


def _turn(platform: Running, load: str, connections: int) -> Turn:
    spec = Spec(
        url=f"{platform.url}/v2/models/overhead/infer",
        bodies=BODIES,
        headers=LOADS[load],
        connections=connections,
        seconds=WARMUP_S,
    )
    generate(spec)
    before = platform.spent()
    report = generate({**spec, "seconds": SECONDS})
    after = platform.spent()
    return Turn(report=report, spent_us={of: (after[of] - before[of]) / report["count"] * 1e6 for of in PACKAGES})


def _figures(key: Key, turns: dict[int, list[Turn]]) -> list[Figure]:
    load, connections = key
    one, two = (turns[count] for count in COUNTS)
    notes = [f"{count} gateways: {_told(of_count)}" for count, of_count in turns.items()]
    what = f"two gateways against one, {load}, {connections} connections"
    return [figure(what, _rate(two) / _rate(one), "x", notes=notes)]


def _rate(turns: list[Turn]) -> float:
    return statistics.median(turn["report"]["rate"] for turn in turns)


def _told(turns: list[Turn]) -> str:
    p99 = statistics.median(turn["report"]["p99_ms"] for turn in turns)
    spent = {of: statistics.median(turn["spent_us"][of] for turn in turns) for of in PACKAGES}
    of_each = ", ".join(f"{of} {us:.0f} us" for of, us in spent.items())
    return f"{_rate(turns):,.0f}/s, p99 {p99:.1f} ms, {of_each} of processor a request"
