"""What one loaded model has done so far: plain numbers that cost next to nothing to keep."""

from collections import defaultdict
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from service.histogram import Histogram
from service.tally import Tally

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(slots=True)
class Compute:
    """The three parts of running a batch: collate, engine, scatter."""

    input: Tally = field(default_factory=Tally)
    infer: Tally = field(default_factory=Tally)
    output: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class Statistics:
    """Requests are counted in the event loop, batches (`ran`) in the threads that run them.

    `compute` counts each item with the whole time of its batch, `batches` counts each batch once, by its rows.
    """

    in_flight: int = 0
    success: Tally = field(default_factory=Tally)
    failures: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))  # by class of error
    latency: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    queue: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    batch_rows: Histogram = field(default_factory=lambda: Histogram(ROWS))
    engine: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    compute: Compute = field(default_factory=Compute)
    batches: dict[int, Compute] = field(default_factory=lambda: defaultdict(Compute))
    executions: int = 0
    rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    dropped: int = 0
    last_inference: float = 0.0  # seconds since the epoch, for people to read
    _lock: Lock = field(default_factory=Lock, repr=False)

    def ran(self, items: int, rows: int, collate: float, engine: float, scatter: float) -> None:
        """A batch of `items` items ran. Safe from several threads."""
        with self._lock:
            self.executions += 1
            self.rows += rows
            self.engine.observe(engine)
            for compute, count in ((self.compute, items), (self.batches[rows], 1)):
                compute.input.add(collate * count, count)
                compute.infer.add(engine * count, count)
                compute.output.add(scatter * count, count)
