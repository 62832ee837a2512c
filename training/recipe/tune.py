"""What is tried to find out how a model runs fastest on this machine."""

from typing import Annotated, Literal

from pydantic import Field

from training.recipe.block import Block

Count = Annotated[int, Field(ge=1, le=1024)]


class Tune(Block):
    """Every variant that passed its checks, with each of these settings, answers real rows through the real engine.

    `threads` are a worker's, shared by its `instances`; empty: 1 and as many as the machine has cores. `in_flight`
    requests are asked at a time. The best is the one with the highest throughput among those whose p99 is below
    `p99_ms`, or the lowest p99 where the `objective` is that.
    """

    threads: tuple[Count, ...] = ()
    instances: tuple[Annotated[int, Field(ge=1, le=64)], ...] = (1, 2)
    max_rows: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = (1, 8, 32)
    seconds: float = Field(2.0, gt=0)
    in_flight: Count = 64
    objective: Literal["throughput", "latency"] = "throughput"
    p99_ms: float | None = Field(None, gt=0)
