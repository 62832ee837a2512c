"""The load that a fault meets, and what it saw of it."""

import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from loadtests.chaos.client import RIGHT, WRONG, Job, Question, Record
from loadtests.chaos.models import COLUMNS
from loadtests.processes import ROOT

CONNECTIONS, PACE_S, TIMEOUT_S = 16, 0.05, 10.0
SAMPLE_S = 0.25


class Seen(TypedDict):
    """What the clients saw from a fault's beginning to some seconds after its end.

    `failed` are those that got no answer with status 200, by how they ended in `endings`; `stall_s` is the longest time
    without any right answer, `longest_s` the longest that one request took.
    """

    requests: int
    failed: int
    wrong: int
    stall_s: float
    longest_s: float
    p99_before_ms: float
    p99_ms: float
    endings: dict[str, int]


@dataclass
class Load:
    """Clients at work; `records` are there once they have ended."""

    records: list[Record] = field(default_factory=list)


def numbers() -> list[Question]:
    """Rows for the models `doubled`, which computes each answer, and `kept`, whose answers are cached."""
    rows = [[float(row), 1.0, 2.0, 3.0] for row in range(400)]
    questions = [_question("doubled", row) for row in rows]
    for number in range(0, len(questions), 4):
        questions[number] = _question("kept", rows[number % 40])
    return questions


def _question(model: str, row: list[float]) -> Question:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, COLUMNS], "data": row}]}
    return Question(
        path=f"/v2/models/{model}/infer", body=json.dumps(body), answer=[2 * value for value in row], tolerance=0.0
    )


@contextlib.contextmanager
def asking(url: str, questions: Sequence[Question]) -> Iterator[Load]:
    """Clients ask while the block runs."""
    job = Job(url=url, questions=list(questions), connections=CONNECTIONS, pace_s=PACE_S, timeout_s=TIMEOUT_S)
    found = Load()
    with tempfile.NamedTemporaryFile() as said:
        command = [sys.executable, "-m", "loadtests.chaos.client", said.name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, cwd=ROOT) as running:
            assert running.stdin is not None
            running.stdin.write(json.dumps(job) + "\n")
            running.stdin.flush()
            try:
                yield found
                running.communicate(timeout=3 * TIMEOUT_S)
            except BaseException:
                running.kill()
                raise
        if running.returncode:
            raise subprocess.CalledProcessError(running.returncode, command)
        found.records = [(began, took, how) for began, took, how in json.load(said)]


def seen(records: Sequence[Record], began: float, ended: float) -> Seen:
    """What the records say of the time from `began` to `ended`; what was sent before is what it is compared with."""
    before = [record for record in records if record[0] < began]
    during = [record for record in records if began <= record[0]]
    endings = Counter(how for _, _, how in during)
    answered = sorted(sent + took for sent, took, how in records if how == RIGHT and sent + took >= began)
    moments = [began, *answered, max([ended, *answered[-1:]])]
    return Seen(
        requests=len(during),
        failed=len(during) - endings[RIGHT] - endings[WRONG],
        wrong=endings[WRONG],
        stall_s=max(after - one for one, after in itertools.pairwise(moments)),
        longest_s=max((took for _, took, _ in during), default=0.0),
        p99_before_ms=_p99_ms(before),
        p99_ms=_p99_ms(during),
        endings=dict(sorted(endings.items())),
    )


def _p99_ms(records: Sequence[Record]) -> float:
    times = [took for _, took, how in records if how == RIGHT]
    return float(np.percentile(times, 99)) * 1000 if times else float("nan")


class Sampling:
    """The most that `measure` says while the block runs, and what it said at first."""

    def __init__(self, measure: Callable[[], float]) -> None:
        self.first = self.most = self.last = measure()
        self._measure = measure
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Sampling":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self.last = self._measure()
            self.most = max(self.most, self.last)
