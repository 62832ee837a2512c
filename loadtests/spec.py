"""What a load generator is told, and what it reports: the JSON between it and the benchmarks."""

from typing import NotRequired, TypedDict

from loadtests.scenarios.arrivals import Arrivals


class Spec(TypedDict):
    """A run. Closed loop, or open loop where `rate` is given; it ends after `seconds` or after `requests`."""

    url: str  # http://127.0.0.1:<port>/<path>
    bodies: list[str]  # sent in turn, over and over
    headers: NotRequired[dict[str, str]]
    connections: int  # closed loop: each has one request in flight; open loop: the most that there may be
    seconds: NotRequired[float]
    requests: NotRequired[int]
    warmup_s: NotRequired[float]  # the same load before the run, not counted
    rate: NotRequired[float]  # requests per second
    arrivals: NotRequired[Arrivals]  # of an open loop; `even` unless given
    count_header: NotRequired[str]  # a response header whose values are counted


class Report(TypedDict):
    """What a run saw. Latencies in milliseconds, of the answers with status 200, exact percentiles.

    `invalid` says why the figures must not be used; None where they may be.
    """

    count: int
    statuses: dict[str, int]
    errors: int  # connections lost with a request in flight, requests never answered
    rate: float  # answers with status 200 per second
    seconds: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    began: float  # epoch seconds
    lag_mean_ms: float | None  # open loop: how late the generator was with its requests
    lag_p99_ms: float | None
    lag_max_ms: float | None
    cpu_share: float  # of one core, by the generator itself
    starved_share: float  # of the time it had something to do and no core, as others had them
    header_values: dict[str, int]
    refused_p50_ms: float | None  # of the answers with 429 or 503
    refused_p99_ms: float | None
    first_failure: str | None
    invalid: str | None


class Turn(TypedDict):
    """What the clients saw, and microseconds of processor a request, by what the processes are."""

    report: Report
    spent_us: dict[str, float]
