"""The same rate for hours (`--seconds 14400`), in ten parts, each of which is held to the thresholds."""

from collections.abc import Sequence
from typing import Any

from loadtests.scenarios.arrivals import Phase, steady
from loadtests.scenarios.command import UntilDone
from loadtests.scenarios.open_loop import OpenLoop

PARTS = 10


class Soak(OpenLoop):
    scenario = "soak"

    @staticmethod
    def phases(options: Any) -> Sequence[Phase]:
        parts = [steady(f"part {n} of {PARTS}", options.rate, options.seconds / PARTS) for n in range(1, PARTS + 1)]
        return [steady("warm-up", options.rate, options.warmup_seconds, counted=False), *parts]


__all__ = ["Soak", "UntilDone"]
