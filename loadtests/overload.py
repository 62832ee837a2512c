"""Three times what the platform can serve, while clients vanish, hang and pipeline: what it serves, how it refuses."""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, TypedDict

from loadtests.payloads import items
from loadtests.platform import artifact, platform
from loadtests.processes import ROOT, generate
from loadtests.results import Result, figure, median, result
from loadtests.rounds import ROUNDS
from loadtests.spec import Report, Spec
from loadtests.target import Target

TIMES: Final = 3
IN_FLIGHT: Final = 256  # for the best rate
CONNECTIONS: Final = 2000  # more than a gateway serves at once
SECONDS, WARMUP_S = 10.0, 3.0


class Turn(TypedDict):
    """Answers with 200 a second, those to clients that pipeline among them."""

    best: Report
    overloaded: Report
    goodput: float


def measure() -> Result:
    """The best rate and the overload, by turns, over one running platform."""
    turns: list[Turn] = []
    with platform([artifact("minilm")]) as running:
        target = running.target("minilm")
        target.check(items("minilm")[0])
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}")
            turns.append(_turn(target))
    overloaded = [turn["overloaded"] for turn in turns]
    refused = sum(report["statuses"].get(status, 0) for report in overloaded for status in ("429", "503"))
    without = refused - sum(sum(report["header_values"].values()) for report in overloaded)
    others = {status for report in overloaded for status in report["statuses"]} - {"200", "429", "503"}
    rate = statistics.median(turn["best"]["rate"] for turn in turns)
    goodput = statistics.median(turn["goodput"] for turn in turns)
    figures = [
        figure(
            f"answers at {TIMES} times the best rate, of the best rate",
            goodput / rate,
            "x",
            at_least=0.9,
            notes=[
                f"{goodput:.0f} of {TIMES * rate:.0f} a second, {rate:.0f} at best",
                f"p50 of the answers {median(overloaded, 'p50_ms'):.0f} ms, p99 {median(overloaded, 'p99_ms'):.0f} ms",
            ],
        ),
        figure("refusals, p50", median(overloaded, "refused_p50_ms"), "ms"),
        figure("refusals, p99", median(overloaded, "refused_p99_ms"), "ms", at_most=20),
        figure("refusals without Retry-After", without, "answers", at_most=0, notes=[f"of {refused:,}"]),
        figure(
            "answered with anything else, or not at all",
            sum(report["statuses"][status] for report in overloaded for status in others)
            + sum(report["errors"] for report in overloaded),
            "requests",
            at_most=0,
        ),
    ]
    about = (
        f"real sentences to minilm, nothing cached; an open loop (Poisson) over {CONNECTIONS:,} connections, while"
        " others vanish, hang and pipeline, against a closed one with 256 in flight"
    )
    return result("overload", about, figures, {"turns": turns})


def _turn(target: Target) -> Turn:
    bodies = [target.dialect.encode(item) for item in items("minilm")]
    spec = Spec(url=target.url, bodies=bodies, connections=IN_FLIGHT, seconds=SECONDS, warmup_s=WARMUP_S)
    best = generate(spec)
    spec = {**spec, "connections": CONNECTIONS, "rate": TIMES * best["rate"], "arrivals": "poisson"}
    with _rude(target.url, bodies[0]) as stop:
        began = time.perf_counter()
        overloaded = generate({**spec, "count_header": "retry-after"})
        pipelined = stop() / (time.perf_counter() - began)
    goodput = overloaded["rate"] + pipelined
    refused = f"{overloaded['refused_p50_ms']:.1f} ms, p99 {overloaded['refused_p99_ms']:.1f} ms"
    print(f"  best {best['rate']:.0f}/s, then {goodput:.0f}/s with {pipelined:.0f} pipelined, refused in {refused}")
    print(f"  {overloaded['statuses']}", flush=True)
    return Turn(best=best, overloaded=overloaded, goodput=goodput)


@contextlib.contextmanager
def _rude(url: str, body: str) -> Iterator[Callable[[], int]]:
    """Rude clients, and what stops them and says how many answers with 200 they have read."""
    command = [sys.executable, "-m", "loadtests.rude", url, body]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:

        def stop() -> int:
            running.terminate()
            said, _ = running.communicate(timeout=30)
            return int(said)

        try:
            yield stop
        finally:
            running.kill()
