"""The same rate all the time, each sentence once before any comes again: nothing is answered twice."""

from collections.abc import Sequence
from typing import Any

from loadtests.scenarios.arrivals import Phase, steady
from loadtests.scenarios.command import UntilDone
from loadtests.scenarios.open_loop import OpenLoop


class Steady(OpenLoop):
    scenario = "steady"

    @staticmethod
    def phases(options: Any) -> Sequence[Phase]:
        return [
            steady("warm-up", options.rate, options.warmup_seconds, counted=False),
            steady("steady", options.rate, options.seconds),
        ]


__all__ = ["Steady", "UntilDone"]
