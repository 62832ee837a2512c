"""From a tenth of the rate to all of it, evenly: the second in which the latency bends says what the platform takes."""

from collections.abc import Sequence
from typing import Any

from loadtests.scenarios.arrivals import Phase, Stretch, steady
from loadtests.scenarios.command import UntilDone
from loadtests.scenarios.open_loop import OpenLoop


class Ramp(OpenLoop):
    scenario = "ramp"

    @staticmethod
    def phases(options: Any) -> Sequence[Phase]:
        low = options.rate / 10
        return [
            steady("warm-up", low, options.warmup_seconds, counted=False),
            Phase("ramp", [Stretch(options.seconds, low, options.rate)]),
        ]


__all__ = ["Ramp", "UntilDone"]
