"""How long a version usually takes to answer, and so how long a replica may be silent before another one is asked."""

from typing import Final

ENOUGH: Final = 20  # answers before anything is said
FACTOR: Final = 5.0
FLOOR_S: Final = 0.25  # a machine that is busy with something else answers late as well
DECAY: Final = 0.02
# Of the tries that end early: for each answer a fifth of one more, so that slowness alone never doubles the load.
PER_ANSWER: Final = 0.2
MOST_TRIES: Final = 64.0
# A worker that takes less for an answer is not what takes the time: for a request of a group this process takes more.
QUICK_S: Final = 0.0015


class Pace:
    """Of one version: the largest latency lately, which falls by a fiftieth of the difference with each answer.

    And of how many rows answers lately were: one of more rows may take longer in proportion. And what most take.
    """

    __slots__ = ("_answers", "_peak_s", "_rows", "_tries", "_usual_s")

    def __init__(self) -> None:
        self._answers = 0
        self._peak_s = self._usual_s = 0.0
        self._rows = 0.0
        self._tries = MOST_TRIES

    def record_answer(self, seconds: float, rows: int, worker_s: float | None = None) -> None:
        """`seconds` is what this process has waited; the worker may have said what it took itself."""
        self._answers += 1
        weight = max(DECAY, 1 / self._answers)
        self._rows += (rows - self._rows) * weight
        self._usual_s += ((seconds if worker_s is None else worker_s) - self._usual_s) * weight
        self._tries = min(self._tries + PER_ANSWER, MOST_TRIES)
        if seconds > self._peak_s:
            self._peak_s = seconds
        else:
            self._peak_s -= (self._peak_s - seconds) * DECAY

    @property
    def is_quick(self) -> bool:
        """Whether workers lately took so little that it matters more whose processor's caches are warm."""
        return self._answers >= ENOUGH and self._usual_s < QUICK_S

    def limit_s(self, rows: int) -> float | None:
        """How long a try of that many rows may take where there is another replica to ask; or None."""
        if self._answers < ENOUGH or self._tries < 1:
            return None
        return FLOOR_S + FACTOR * self._peak_s * max(rows / max(self._rows, 1.0), 1.0)

    def record_stall(self) -> None:
        """A try took longer and another one is made."""
        self._tries -= 1
