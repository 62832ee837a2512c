"""What the scenarios add to Locust's command line and web page, and the report at the end."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, get_args

from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.scenarios.arrivals import Arrivals
from loadtests.scenarios.open_loop import OpenLoop
from loadtests.scenarios.record import PhaseReport, RunReport, invalid
from loadtests.scenarios.run import Run


@events.init_command_line_parser.add_listener
def options(parser: ArgumentParser) -> None:
    """Locust shows them on its web page too."""
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second, at the scenario's height")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long what is counted takes")
    parser.add_argument("--warmup-seconds", type=float, default=20.0, help="the load before it, which is not counted")
    parser.add_argument("--arrivals", choices=get_args(Arrivals), default="poisson", help="how requests come")
    parser.add_argument("--connections", type=int, default=256, help="the most requests in flight")
    parser.add_argument("--model", default="sentiment", help="what is asked, in scenarios of one model")
    parser.add_argument("--report", default="", help="a file for the report, as JSON")


@events.init.add_listener
def connect(environment: Environment, **_: Any) -> None:
    """A run begins when all users are there, and has its report when it ends."""
    if isinstance(environment.runner, MasterRunner | WorkerRunner):
        sys.exit("a scenario runs in one process: for more load start several, each with its part of --rate")
    environment.events.test_start.add_listener(lambda **_: OpenLoop.started.clear())
    environment.events.spawning_complete.add_listener(lambda **_: start(environment))
    environment.events.test_stop.add_listener(lambda **_: stop(environment))


class UntilDone(LoadTestShape):
    """All users from the beginning until the run is over: Locust's own user count and run time are not used."""

    def tick(self) -> tuple[int, float] | None:
        if OpenLoop.started.is_set() and OpenLoop.current.over:
            return None
        connections: int = self.runner.environment.parsed_options.connections  # type: ignore[union-attr]
        return connections, connections


def start(environment: Environment) -> None:
    """Let the users begin."""
    (scenario,) = environment.user_classes
    assert issubclass(scenario, OpenLoop)
    asked = environment.parsed_options
    assert asked is not None
    OpenLoop.current = Run(scenario.phases(asked), scenario.traffic(asked), asked.arrivals)
    OpenLoop.started.set()


def stop(environment: Environment) -> None:
    """Say what came of the run: exit status 1 where a threshold is missed, 2 where the run says nothing."""
    if not OpenLoop.started.is_set():
        return
    (scenario,), asked = environment.user_classes, environment.parsed_options
    assert issubclass(scenario, OpenLoop)
    assert asked is not None
    run = OpenLoop.current
    phases = [record.report(scenario.thresholds) for record in run.records]
    report = RunReport(
        scenario=scenario.scenario,
        began=run.began_at,
        arrivals=asked.arrivals,
        connections=asked.connections,
        generator_cpu=run.cpu_share,
        phases=phases,
        invalid=invalid(phases, run.cpu_share),
    )
    if asked.report:
        Path(asked.report).write_text(json.dumps(report))
    print("\n".join(map(line, phases)))
    missed = [f"FAILED in {phase['name']}: {wrong}" for phase in phases for wrong in phase["missed"]]
    print("\n".join([*missed, *([f"INVALID: {report['invalid']}"] if report["invalid"] else [])]) or "passed")
    environment.process_exit_code = 2 if report["invalid"] else int(bool(missed))


def line(phase: PhaseReport) -> str:
    """A phase for the terminal."""
    latencies = ((name, phase[f"{name}_ms"]) for name in ("mean", "p50", "p95", "p99"))  # type: ignore[literal-required]
    numbers = ", ".join(f"{name} {value:.1f} ms" for name, value in latencies if value is not None)
    hits = "" if phase["hit_ratio"] is None else f"; hit ratio {phase['hit_ratio']:.1%}"
    failed = sum(phase["failures"].values())
    return (
        f"{phase['name']}: {phase['offered_rate']:.1f}/s offered, {phase['served_rate']:.1f}/s served,"
        f" {failed} failed; {numbers}{hits}"
    )
