"""This tree against an earlier commit, by turns in one run: `python -m loadtests.by_turns --base COMMIT`.

Both are started whole, by their own `headrace up`, with the same environment; each round loads the one and then the
other with the overhead model, nothing cached, and the next round begins with the other. What counts is the ratio within
a round: the machine's moods befall both. The interval is a bootstrap's (B. Efron, 1979) of the median ratio.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from loadtests.models import overhead_folder
from loadtests.payloads import items, oip
from loadtests.processes import ROOT, free_port, generate, process, wait_until_ready
from loadtests.report import render
from loadtests.results import Figure, figure, median, result, write
from loadtests.spec import Report, Spec

ROUNDS: Final = 15
CONNECTIONS: Final = 32
SECONDS, WARMUP_S = 5.0, 1.0
LEAST: Final = 0.95
RESAMPLES: Final = 10_000
PACKAGES: Final = ("gateway", "model_service")  # whose processes are counted
Turn = dict[str, float]  # microseconds of processor a request, by package


@dataclass(frozen=True)
class Running:
    """One tree's platform, with the model `overhead`."""

    url: str
    up: psutil.Process

    def spent(self) -> dict[str, float]:
        """Seconds of processor so far, by package: a worker's engines are its children and count for it."""
        found = dict.fromkeys(PACKAGES, 0.0)
        for child in self.up.children():
            package = next((name for name in PACKAGES if name in child.cmdline()), None)
            if package is not None:
                for one in (child, *child.children(recursive=True)):
                    times = one.cpu_times()
                    found[package] += times.user + times.system
        return found

    def turn(self, bodies: list[str]) -> tuple[Report, Turn]:
        """Load it for a while."""
        spec = Spec(
            url=f"{self.url}/v2/models/overhead/infer",
            bodies=bodies,
            headers={"cache-control": "no-cache"},
            connections=CONNECTIONS,
            seconds=SECONDS,
        )
        generate({**spec, "seconds": WARMUP_S})
        before = self.spent()
        report = generate(spec)
        after = self.spent()
        return report, {name: (after[name] - before[name]) / report["count"] * 1e6 for name in PACKAGES}


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the tree of that commit."""
    with tempfile.TemporaryDirectory(prefix="headrace-base-") as name:
        folder = Path(name) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


@contextlib.contextmanager
def running(tree: Path, options: Sequence[str]) -> Iterator[Running]:
    """`headrace up` of that tree, with the model added."""
    with tempfile.TemporaryDirectory(prefix="headrace-data-") as data:
        headrace, url = [sys.executable, "-m", "headrace"], f"http://127.0.0.1:{(port := free_port())}"
        environment = {"PYTHONPATH": str(tree)}
        with process([*headrace, "up", "--port", str(port), "--data", data, *options], environment, tree) as up:
            wait_until_ready(f"{url}/v2/health/ready", up)
            model = str(overhead_folder() / "model.onnx")
            subprocess.run(
                [*headrace, "models", "add", model, "--name", "overhead", "--url", url, "--wait"],
                check=True,
                cwd=tree,
                env={**os.environ, **environment},
                stdout=subprocess.DEVNULL,
            )
            yield Running(url, psutil.Process(up.pid))


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """In which the median ratio lies, with 95% confidence."""
    drawn = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)


def figures(reports: Mapping[str, list[Report]], turns: Mapping[str, list[Turn]]) -> list[Figure]:
    """Of `base` and `head`, a report and a turn for each round."""
    base, head = reports["base"], reports["head"]
    ratios = [one["rate"] / other["rate"] for one, other in zip(head, base, strict=True)]
    low, high = interval(ratios)
    found = [
        figure("head against base: median ratio of requests/s", float(np.median(ratios)), "x"),
        figure(
            "the same: lower end of its interval", low, "x", at_least=LEAST, notes=[f"95%: {low:.3f} to {high:.3f}"]
        ),
    ]
    for name, of_tree in turns.items():
        notes = [
            f"{median(reports[name], 'rate'):,.0f} requests/s",
            f"p50 {median(reports[name], 'p50_ms'):.2f} ms, p99 {median(reports[name], 'p99_ms'):.2f} ms",
        ]
        for package in PACKAGES:
            us = float(np.median([turn[package] for turn in of_tree]))
            found.append(figure(f"{name}: processor time of {package} a request", us, "us", notes=notes))
    return found


def main() -> None:
    """Measure, print and keep it."""
    arguments = argparse.ArgumentParser(prog="python -m loadtests.by_turns", description=__doc__)
    arguments.add_argument("--base", required=True, metavar="COMMIT", help="what this tree is compared with")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--up", nargs="*", default=[], metavar="OPTION", help="of both `headrace up`")
    options = arguments.parse_args()
    bodies = [oip("x").encode(item) for item in items("overhead")]
    reports: dict[str, list[Report]] = {"base": [], "head": []}
    turns: dict[str, list[Turn]] = {"base": [], "head": []}
    with checked_out(options.base) as tree, running(tree, options.up) as base, running(ROOT, options.up) as head:
        trees = {"base": base, "head": head}
        for number in range(options.rounds):
            for name in sorted(trees, reverse=bool(number % 2)):
                report, turn = trees[name].turn(bodies)
                reports[name].append(report)
                turns[name].append(turn)
                spent = ", ".join(f"{package} {us:.0f} us" for package, us in turn.items())
                print(
                    f"{number + 1:3} {name}  {report['rate']:8.1f}/s  p50 {report['p50_ms']:.2f} ms  {spent}",
                    flush=True,
                )
    about = f"overhead model as JSON, {CONNECTIONS} connections, nothing cached, `headrace up` of both trees"
    command = f"python -m loadtests.by_turns --base {options.base}"
    found = result("by_turns", about, figures(reports, turns), {"reports": reports, "turns": turns}, command=command)
    print(f"{write(found)}\n{render()}", flush=True)


if __name__ == "__main__":
    main()
