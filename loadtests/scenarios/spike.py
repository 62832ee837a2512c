"""A fifth of the rate, then all of it from one moment to the next, then a fifth again: is it soon as it was?"""

from collections.abc import Sequence
from typing import Any

from loadtests.scenarios.arrivals import Phase, steady
from loadtests.scenarios.command import UntilDone
from loadtests.scenarios.open_loop import OpenLoop


class Spike(OpenLoop):
    scenario = "spike"

    @staticmethod
    def phases(options: Any) -> Sequence[Phase]:
        low, third = options.rate / 5, options.seconds / 3
        return [
            steady("warm-up", low, options.warmup_seconds, counted=False),
            steady("before", low, third),
            steady("spike", options.rate, third),
            steady("after", low, third),
        ]


__all__ = ["Spike", "UntilDone"]
