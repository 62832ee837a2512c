"""What one loaded model has done so far: plain numbers that cost next to nothing to keep."""

from collections import defaultdict
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, NamedTuple

from model_service.tasks.base import Ran
from service.histogram import Histogram
from service.tally import Tally

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Parts(NamedTuple):
    """Where a request's time went, in seconds: it waited, then its batches were collated, run and scattered."""

    queue: float = 0.0
    input: float = 0.0
    infer: float = 0.0
    output: float = 0.0


@dataclass(slots=True)
class Compute:
    """The three parts of running a batch: collate, engine, scatter."""

    input: Tally = field(default_factory=Tally)
    infer: Tally = field(default_factory=Tally)
    output: Tally = field(default_factory=Tally)

    def add(self, input_s: float, infer_s: float, output_s: float, count: int = 1) -> None:
        """`count` times, each of which took that long."""
        self.input.add(input_s * count, count)
        self.infer.add(infer_s * count, count)
        self.output.add(output_s * count, count)


@dataclass(slots=True)
class Answered:
    """Requests of clients that were answered, of which several may have come as one: `Statistics.success` counts that
    one, this each of them, with its own time."""

    success: Tally = field(default_factory=Tally)
    queue: Tally = field(default_factory=Tally)
    compute: Compute = field(default_factory=Compute)

    def add(self, seconds: float, parts: Parts, members: int) -> None:
        """`members` that came as one request, which took `seconds`."""
        self.success.add(seconds * members, members)
        self.queue.add(parts.queue * members, members)
        self.compute.add(parts.input, parts.infer, parts.output, members)


@dataclass(slots=True)
class Statistics:
    """Requests are counted in the event loop, batches (`ran`) in the threads that run them.

    `queue` counts items, `batches` each batch once, by its rows.
    """

    in_flight: int = 0
    success: Tally = field(default_factory=Tally)
    failures: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))  # by class of error
    latency: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    queue: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    batch_rows: Histogram = field(default_factory=lambda: Histogram(ROWS))
    engine: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    answered: Answered = field(default_factory=Answered)
    batches: dict[int, Compute] = field(default_factory=lambda: defaultdict(Compute))
    executions: int = 0
    rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    dropped: int = 0
    last_inference: float = 0.0  # seconds since the epoch, for people to read
    _lock: Lock = field(default_factory=Lock, repr=False)

    def ran(self, rows: int, ran: Ran) -> None:
        """A batch of so many rows ran. Safe from several threads."""
        engine = ran.ended - ran.collated
        with self._lock:
            self.executions += 1
            self.rows += rows
            self.engine.observe(engine)
            self.batches[rows].add(ran.collated - ran.began, engine, ran.scattered - ran.ended)
