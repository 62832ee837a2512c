"""As traffic is: nine in ten ask the classifier, one in ten the embedding model, and some sentences far more often.

The first phase, which is not counted, starts with whatever the cache holds: on a fresh platform it is the cold start.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from loadtests.scenarios.arrivals import Phase, steady
from loadtests.scenarios.command import UntilDone
from loadtests.scenarios.open_loop import OpenLoop
from loadtests.scenarios.traffic import Request, zipf_mix


class Mixed(OpenLoop):
    scenario = "mixed"

    @staticmethod
    def phases(options: Any) -> Sequence[Phase]:
        return [
            steady("cold start", options.rate, options.warmup_seconds, counted=False),
            steady("mixed", options.rate, options.seconds),
        ]

    @staticmethod
    def traffic(options: Any) -> Iterator[Request]:
        return zipf_mix()


__all__ = ["Mixed", "UntilDone"]
