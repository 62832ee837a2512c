"""`make chaos`: faults under load, each in a platform of its own that is started for it.

Writes loadtests/results/chaos.json and the table of all results. Ends with 1 where a fault cost more than it may.
"""

import argparse
import sys
import time
import traceback
from typing import TypedDict

from loadtests.chaos.faults import FAULTS, Fault
from loadtests.chaos.load import CONNECTIONS, PACE_S, Sampling, Seen, asking, seen
from loadtests.report import render
from loadtests.results import Figure, Table, figure, result, write

WARM_S, BEFORE_S, AFTER_S = 2.0, 4.0, 3.0
COLUMNS = ("Fault", "What is done", "Requests", "Failed", "Wrong", "Longest stall", "Added p99", "Memory", "Notes")


class Outcome(TypedDict):
    """What a fault cost; `memory_mb` is the most that gateways and workers grew by, `left_mb` what they kept."""

    fault: str
    about: str
    seen: Seen
    memory_mb: float
    left_mb: float
    notes: list[str]


def main() -> None:
    """Make the faults that are named, or all, one after the other."""
    arguments = argparse.ArgumentParser(prog="python -m loadtests.chaos", description=__doc__)
    arguments.add_argument("--only", action="append", metavar="FAULT", help="this one; may be given more than once")
    arguments.add_argument("--list", action="store_true", help="print the faults' names")
    options = arguments.parse_args()
    known = {fault.name: fault for fault in FAULTS}
    if options.list:
        print("\n".join(f"{fault.name:20} {fault.about}" for fault in FAULTS))
        return
    if unknown := set(options.only or ()) - known.keys():
        arguments.error(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    outcomes, figures = [], []
    for fault in [known[name] for name in options.only or known]:
        print(f"{fault.name}: {fault.about}", flush=True)
        try:
            outcome = make(fault)
        except Exception:  # one platform that does not start is no reason to measure nothing else
            traceback.print_exc()
            figures.append(figure(f"{fault.name}: could be measured", 0.0, "", at_least=1))
            continue
        outcomes.append(outcome)
        figures += held_to(fault, outcome)
        print(f"  {said(outcome)}", flush=True)
    if not options.only:
        about = (
            f"{len(outcomes)} faults, each in a platform of its own of two workers: {CONNECTIONS} clients that each ask"
            f" every {PACE_S * 1000:.0f} ms and check every answer"
        )
        table = Table(columns=list(COLUMNS), rows=[row(outcome) for outcome in outcomes])
        found = result("chaos", about, figures, {"outcomes": outcomes}, command="make chaos", table=table)
        print(f"{write(found)}\n{render()}", flush=True)
    sys.exit(any(one["met"] is False for one in figures))


def make(fault: Fault) -> Outcome:
    """The fault, under load."""
    questions = fault.questions()
    with (
        fault.start([*fault.asked(), *fault.more()], envoy=fault.envoy) as platform,
        asking(platform.url, questions) as load,
    ):
        time.sleep(WARM_S)
        warm = time.monotonic()
        time.sleep(BEFORE_S)
        with Sampling(platform.memory_mb) as memory:
            began = time.monotonic()
            notes = fault.act(platform)
            time.sleep(AFTER_S)
            ended = time.monotonic()
    return Outcome(
        fault=fault.name,
        about=fault.about,
        seen=seen([record for record in load.records if record[0] >= warm], began, ended),
        memory_mb=memory.most - memory.first,
        left_mb=memory.last - memory.first,
        notes=notes,
    )


def held_to(fault: Fault, outcome: Outcome) -> list[Figure]:
    """The bounds, each with what was measured."""
    found, name = outcome["seen"], fault.name
    endings = ", ".join(f"{count} {how}" for how, count in found["endings"].items())
    bounds = [
        figure(f"{name}: failed", found["failed"], "requests", at_most=fault.may_fail, notes=[endings]),
        figure(f"{name}: wrong", found["wrong"], "requests", at_most=0),
        figure(f"{name}: longest stall", found["stall_s"], "s", at_most=fault.stall_s),
    ]
    if fault.longest_s is not None:
        bounds.append(figure(f"{name}: longest request", found["longest_s"], "s", at_most=fault.longest_s))
    return bounds


def row(outcome: Outcome) -> list[str]:
    """Its line of the table."""
    found = outcome["seen"]
    others = {how: count for how, count in found["endings"].items() if how != "right"}
    notes = [f"{count} {how}" for how, count in others.items()] + outcome["notes"]
    return [
        outcome["fault"],
        outcome["about"],
        f"{found['requests']:,}",
        f"{found['failed']:,}",
        f"{found['wrong']:,}",
        f"{found['stall_s']:.2f} s",
        f"{found['p99_ms'] - found['p99_before_ms']:+,.0f} ms",
        f"{outcome['memory_mb']:+,.0f} MB, {outcome['left_mb']:+,.0f} MB left",
        "; ".join([f"longest {found['longest_s']:.2f} s", *notes]),
    ]


def said(outcome: Outcome) -> str:
    """The same, for who watches."""
    _, _, requests, failed, wrong, stall, p99, memory, notes = row(outcome)
    return f"{requests} requests, {failed} failed, {wrong} wrong, stall {stall}, p99 {p99}, {memory}; {notes}"


if __name__ == "__main__":
    main()
