"""The same traffic as `mixed` over a cache that holds none of it, however often it has run before.

How fast the hit ratio rises, and what the requests pay meanwhile, is in the report's seconds.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from loadtests.scenarios.arrivals import Phase, steady
from loadtests.scenarios.command import UntilDone
from loadtests.scenarios.open_loop import OpenLoop
from loadtests.scenarios.traffic import Request, zipf_mix


class ColdCache(OpenLoop):
    scenario = "cold cache"

    @staticmethod
    def phases(options: Any) -> Sequence[Phase]:
        return [
            steady("cold", options.rate, options.seconds / 4),
            steady("warmer", options.rate, options.seconds * 3 / 4),
        ]

    @staticmethod
    def traffic(options: Any) -> Iterator[Request]:
        return zipf_mix(run=uuid4().hex[:8])


__all__ = ["ColdCache", "UntilDone"]
