"""Shows where a run of a recipe is: a line that is drawn in a terminal, or printed now and then elsewhere."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table

from headrace.training_log import WINDOW, Run
from training.pipeline import Step

EVERY_S: Final = 60.0  # where there is no terminal to draw in, a line says so often where a run is


class Progress:
    """Where a run is."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self.seconds: dict[str, float] = {}
        self.said = ""
        self._running: Step | None = None
        self._training: Run | None = None
        self._since = 0.0

    def begin(self, step: Step) -> None:
        """A step starts."""
        self._running, self._since, self.said = step, monotonic(), ""
        self._training = None

    def end(self, step: Step, before: bool) -> None:
        """It is over."""
        self._running = None
        self.seconds[step.name] = 0.0 if before else round(monotonic() - self._since, 3)

    def draw(self) -> Table:
        """A line: the stage, how many stages are done or, in training, how many steps; what it said last."""
        line = Table.grid(padding=(0, 2))
        for _ in range(4):
            line.add_column(no_wrap=True)
        line.add_column(no_wrap=True, overflow="ellipsis")
        step = self._running
        if step is not None:
            told, done, of = self._progress(step)
            bar = ProgressBar(total=of, completed=done, width=30)
            line.add_row(step.name, bar, f"{done}/{of}", self._waiting_time(), told)
        return line

    def line(self) -> str:
        """The same in words; nothing between two steps."""
        step = self._running
        if step is None:
            return ""
        told, done, of = self._progress(step)
        place = f"{done} of {of} steps" if self._training is not None and self._training.planned else ""
        return ", ".join(filter(None, (f"{step.name}: {self._waiting_time()}", place, told)))

    def _progress(self, step: Step) -> tuple[str, int, int]:
        """What it said last, how many steps are done and of how many; of training, its own steps."""
        if step.name == "train" and (run := self._look(step)).planned:
            return run.line(), run.step, run.planned
        return self.said, len(self.seconds), len(self._steps)

    def _waiting_time(self) -> str:
        return f"{monotonic() - self._since:.0f} s"

    def _look(self, step: Step) -> Run:
        """What it is at, read on from the last look: this is the process that trains."""
        run = self._training
        if run is None:
            run = self._training = Run(step.folder, last=WINDOW + 1)
        else:
            run.look()
        return run


@contextmanager
def print_regularly(progress: Progress, console: Console, every_s: float) -> Iterator[None]:
    """Print where the run is every so many seconds, unless a terminal shows it all the time."""
    if console.is_terminal:
        yield
        return
    over = threading.Event()

    def tell() -> None:
        while not over.wait(every_s):
            if line := progress.line():
                console.print(line, markup=False, soft_wrap=True)

    thread = threading.Thread(target=tell, daemon=True, name="training-progress")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
