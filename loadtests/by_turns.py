"""This tree against an earlier commit, by turns in one run: `python -m loadtests.by_turns --base COMMIT`.

Both are started whole; each round puts every load on the one and then on the other, and the next round begins with the
other. What counts is the ratio within a round: the machine's moods befall both. The interval is a bootstrap's
(B. Efron, 1979) of the median ratio. The result is kept where `--write` says so.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from loadtests.payloads import items, oip
from loadtests.processes import ROOT, generate
from loadtests.report import render
from loadtests.results import Figure, figure, result, write
from loadtests.spec import Spec, Turn
from loadtests.trees import PACKAGES, Running, checked_out, running

ROUNDS: Final = 15
SECONDS, WARMUP_S = 5.0, 1.0
LEAST: Final = 0.95
RESAMPLES: Final = 10_000
BODIES: Final = [oip("x").encode(item) for item in items("overhead")]
UNCACHED: Final = {"cache-control": "no-cache"}


Rounds = dict[str, dict[str, list[Turn]]]  # by load, and by tree: `base` and `head`


def load(name: str, tree: Running) -> Spec:
    """The overhead model as JSON, under one of the `LOADS`."""
    url = tree.worker_url if name == "direct" else tree.url
    spec = Spec(url=f"{url}/v2/models/overhead/infer", bodies=BODIES, connections=32, seconds=SECONDS)
    if name != "hits":
        spec["headers"] = UNCACHED
    if name in PACED:
        spec["rate"], spec["connections"] = 300.0, 64
    return spec


LOADS: Final = ("saturated", "hits", "paced", "direct")
PACED: Final = ("paced", "direct")  # far from saturated: latency is what a lone request takes; `direct` asks a worker


def turn(tree: Running, name: str) -> Turn:
    """Load it for a while."""
    spec = load(name, tree)
    generate({**spec, "seconds": WARMUP_S})
    before = tree.spent()
    report = generate(spec)
    after = tree.spent()
    if report["invalid"]:
        raise RuntimeError(f"{name}: {report['invalid']}: {report['first_failure']}")
    return Turn(report=report, spent_us={of: (after[of] - before[of]) / report["count"] * 1e6 for of in PACKAGES})


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """In which the median ratio lies, with 95% confidence."""
    drawn = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)


def _measures(turn: Turn, name: str) -> dict[str, float]:
    """What is compared, by its name and unit."""
    report = turn["report"]
    seen: dict[str, float] = (
        {"p50, ms": report["p50_ms"], "p99, ms": report["p99_ms"]} if name in PACED else {"requests/s": report["rate"]}
    )
    return seen | {f"processor of {of} a request, us": us for of, us in turn["spent_us"].items()}


def figures(rounds: Mapping[str, Mapping[str, Sequence[Turn]]]) -> list[Figure]:
    """The median ratio of head to base for each load and measure, and the interval that it lies in."""
    found = []
    for name, trees in rounds.items():
        base, head = ([_measures(turn, name) for turn in trees[tree]] for tree in ("base", "head"))
        for what in base[0]:
            ratios = [after[what] / before[what] for before, after in zip(base, head, strict=True) if before[what]]
            if not ratios:  # hits ask no worker
                continue
            low, high = interval(ratios)
            notes = [f"{_middle(base, what)} and {_middle(head, what)}", f"95%: {low:.3f} to {high:.3f}"]
            least = LEAST if what == "requests/s" else None
            found.append(
                figure(f"{name}: {what}, head / base", float(np.median(ratios)), "x", at_least=least, notes=notes)
            )
    return found


def _middle(turns: Sequence[Mapping[str, float]], what: str) -> str:
    return f"{np.median([turn[what] for turn in turns]):,.4g}"


def measure(base: Running, head: Running, loads: Sequence[str], rounds: int) -> Rounds:
    """Load the one and then the other, over and over."""
    trees = {"base": base, "head": head}
    found: Rounds = {name: {tree: [] for tree in trees} for name in loads}
    for number in range(rounds):
        for name in loads:
            for tree in sorted(trees, reverse=bool(number % 2)):
                one = turn(trees[tree], name)
                found[name][tree].append(one)
                said = ", ".join(f"{what} {value:,.4g}" for what, value in _measures(one, name).items())
                print(f"{number + 1:3} {name:<9} {tree}  {said}", flush=True)
    return found


def main() -> None:
    """Measure, print and, where asked, keep it."""
    arguments = argparse.ArgumentParser(prog="python -m loadtests.by_turns", description=__doc__)
    arguments.add_argument("--base", default="HEAD", metavar="COMMIT", help="what this tree is compared with; HEAD")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--loads", nargs="+", default=["saturated"], choices=LOADS)
    arguments.add_argument("--up", nargs="*", default=[], metavar="OPTION", help="of both `headrace up`")
    arguments.add_argument("--write", action="store_true", help="to loadtests/results/")
    options = arguments.parse_args()
    with checked_out(options.base) as tree, running(tree, options.up) as base, running(ROOT, options.up) as head:
        rounds = measure(base, head, options.loads, options.rounds)
    about = "overhead model as JSON, `headrace up` of both trees; nothing cached but for the load `hits`"
    loads = " ".join(options.loads)
    command = f"python -m loadtests.by_turns --base {options.base} --rounds {options.rounds} --loads {loads}"
    found = result("by_turns", about, figures(rounds), {"rounds": rounds}, command=command)
    for one in found["figures"]:
        print(f"{one['value']:7.3f} x  {one['what']} ({'; '.join(one['notes'])})")
    if options.write:
        print(f"{write(found)}\n{render()}", flush=True)


if __name__ == "__main__":
    main()
