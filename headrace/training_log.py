"""What the log of a training run says so far."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from training.stage import busy, done
from training.train.monitor.log import LOG, parse

State = Literal["running", "stopped", "done"]
WINDOW: Final = 10  # steps that speeds are a mean of


@dataclass(frozen=True)
class Figures:
    """The last steps of a run: rows a second, and the part of the time spent waiting for data."""

    samples_per_s: float
    waiting: float
    seconds_per_step: float


class Run:
    """A training run, by the folder of its stage, as its log stood at the last look."""

    def __init__(self, folder: Path, last: int | None = None) -> None:
        """Of the steps, only the `last` ones are kept where that is given."""
        self.folder = folder
        self._last = last
        self._forget()
        self.look()

    def _forget(self) -> None:
        self._file, self._read = 0, 0  # which file it is, and how many of its bytes have been read
        self.begin: Mapping[str, Any] = {}
        self.steps: list[dict[str, Any]] = []
        self.validations: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []

    def look(self) -> None:
        """Read on: the log of a long run is long, and most of it has been read before."""
        try:
            file = (self.folder / LOG).open("rb")
        except FileNotFoundError:
            return
        with file:
            now = os.fstat(file.fileno())
            if now.st_ino != self._file or now.st_size < self._read:  # begun anew
                self._forget()
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._file = now.st_ino
        self._read += len(whole) + len(end)
        for event in parse(whole.decode()):
            self._take(event)
        if self._last is not None:
            del self.steps[: -self._last]

    def _take(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "begin":
                self.begin = self.begin or event
            case "step":
                self.steps.append(event)
            case "validation":
                self.validations.append(event)
            case "alert":
                self.alerts.append(event)

    @property
    def planned(self) -> int:
        """How many steps it will take, 0 where it has not begun."""
        return int(self.begin.get("planned", 0))

    @property
    def step(self) -> int:
        """How many it has taken."""
        return int(self.steps[-1]["step"]) if self.steps else 0

    @property
    def state(self) -> State:
        """Stopped: killed or failed, and to be gone on with by the same command."""
        if done(self.folder):
            return "done"
        return "running" if busy(self.folder) else "stopped"

    @property
    def figures(self) -> Figures | None:
        """Over the last steps; None before the first."""
        last = self.steps[-WINDOW:]
        seconds = sum(step["seconds"] for step in last)
        if not seconds:
            return None
        between = (last[-1]["step"] - self.steps[-len(last) - 1]["step"]) if len(self.steps) > len(last) else len(last)
        return Figures(
            sum(step["samples"] for step in last) / seconds,
            sum(step["waited"] for step in last) / seconds,
            seconds / between,
        )

    @property
    def left_s(self) -> float | None:
        """Seconds until the last step, at the pace of the last ones."""
        figures = self.figures
        return None if figures is None else (self.planned - self.step) * figures.seconds_per_step

    def line(self) -> str:
        """Its last step in a few words."""
        if not self.steps:
            return "the first step is not done yet"
        last, figures = self.steps[-1], self.figures
        speed = f", {figures.samples_per_s:.3g} rows/s" if figures else ""
        return f"loss {number(last['loss'])}, learning rate {number(last['learning_rate'])}{speed}"


def runs(work: Path) -> list[Path]:
    """The folders of the runs under `work`, the one that was written to last first."""
    logs = sorted((work / "train").glob(f"*/{LOG}"), key=lambda path: -path.stat().st_mtime)
    return [path.parent for path in logs]


def number(value: float | str | None) -> str:
    """Short. The log has a word for a number that is not finite."""
    return "-" if value is None else value if isinstance(value, str) else f"{value:.4g}"
