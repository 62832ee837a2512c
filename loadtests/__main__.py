"""Measures headrace and its peers on this machine and writes loadtests/results/: `python -m loadtests [name ...]`."""

import argparse
from collections.abc import Callable
from typing import Final

from loadtests import (
    cache_hits,
    envoy_rate,
    envoys,
    gateways,
    hop,
    large,
    memory,
    minilm,
    overhead,
    overload,
    registry_polls,
    tracing,
)
from loadtests.report import render
from loadtests.results import Result, write

BENCHMARKS: Final[dict[str, Callable[[], Result]]] = {
    "overhead": overhead.measure,
    "cache_hits": cache_hits.measure,
    "minilm": minilm.measure,
    "hop": hop.measure,
    "large": large.measure,
    "overload": overload.measure,
    "memory": memory.measure,
    "tracing": tracing.measure,
    "envoy_rate": envoy_rate.measure,
    "envoys": envoys.measure,
    "gateways": gateways.measure,
    "registry_polls": registry_polls.measure,
}


def main() -> None:
    """Run the benchmarks that are named, or all of them; each one's result is written as soon as it is there."""
    arguments = argparse.ArgumentParser(prog="python -m loadtests", description=__doc__)
    arguments.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHMARKS))
    names = arguments.parse_args().names
    if unknown := set(names) - BENCHMARKS.keys():
        arguments.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    for name, measure in BENCHMARKS.items():
        if not names or name in names:
            print(name, flush=True)
            path = write(measure())
            print(f"{path}\n{render()}", flush=True)


if __name__ == "__main__":
    main()
