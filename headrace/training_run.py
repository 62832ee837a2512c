"""Runs a recipe under a person's eyes: which stage it is at, how far training has got, what came out."""

import os
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from headrace.errors import CommandError
from headrace.training_log import WINDOW, Run
from training.block import RecipeError
from training.pipeline import Step, check, plan
from training.recipe import Recipe
from training.report.write import render
from training.stage import Busy

ERROR: Final = "error.txt"
REPORTS: Final = "reports"
# The libraries' own bars and tables would run through what is shown here.
QUIET: Final = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
_SHOWN: Final = 100  # characters of a value
_APART: Final = ("gates", "failed")  # which have lines of their own
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def run_recipe(recipe: Recipe, work: Path, until: str | None, as_json: bool) -> dict[str, Any]:
    """Run what is not done: each stage's folder, seconds (0 where it was done before) and outcome, and the report.

    Progress goes to standard error with `as_json`. Raises CommandError where a stage fails, or `work` is no place to
    write to.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    console = Console(highlight=False, stderr=as_json)
    steps = plan(recipe, work, until)
    check(steps)
    _require_writable(work)
    progress = Progress(steps)
    outcomes: dict[str, dict[str, Any]] = {}
    live = Live(
        console=console,
        get_renderable=progress.drawn,
        refresh_per_second=2,
        transient=True,
        auto_refresh=console.is_terminal,
    )
    with live:
        for step in steps:
            outcomes[step.name] = _run(step, outcomes, progress, console)
            console.print(_line(step.name, progress.seconds[step.name], outcomes[step.name]), markup=False)
            for gate in outcomes[step.name].get("gates", ()):
                told = f"gate {'held' if gate['held'] else 'failed'}: {gate['line']}"
                console.print(told, markup=False, soft_wrap=True)  # one line, however long
    page, text = render(work / REPORTS / recipe.name, recipe, outcomes, {step.name: step.folder for step in steps})
    console.print(f"report: {page}", markup=False)
    return {
        "name": recipe.name,
        "report": str(page),
        "markdown": str(text),
        "stages": {
            step.name: {
                "folder": str(step.folder),
                "seconds": progress.seconds[step.name],
                "outcome": outcomes[step.name],
            }
            for step in steps
        },
    }


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

    def drawn(self) -> Table:
        """A line: the stage, how many stages are done or, in training, how many steps; what it said last."""
        line = Table.grid(padding=(0, 2))
        for _ in range(4):
            line.add_column(no_wrap=True)
        line.add_column(no_wrap=True, overflow="ellipsis")
        step = self._running
        if step is not None:
            told, done, of = self.said, len(self.seconds), len(self._steps)
            if step.name == "train" and (run := self._looked(step)).planned:
                told, done, of = run.line(), run.step, run.planned
            waited = f"{monotonic() - self._since:.0f} s"
            line.add_row(step.name, ProgressBar(total=of, completed=done, width=30), f"{done}/{of}", waited, told)
        return line

    def _looked(self, step: Step) -> Run:
        """What it is at, read on from the last look: this is the process that trains."""
        run = self._training
        if run is None:
            run = self._training = Run(step.folder, last=WINDOW + 1)
        else:
            run.look()
        return run


def _run(step: Step, outcomes: Mapping[str, dict[str, Any]], progress: Progress, console: Console) -> dict[str, Any]:
    def say(line: str) -> None:
        progress.said = line
        console.print(f"  {line}", markup=False)

    before = step.done
    progress.begin(step)
    try:
        outcome = step.run(outcomes, say)
    except (RecipeError, Busy, ModuleNotFoundError):
        raise
    except Exception as error:
        what = str(error).strip() or type(error).__name__
        trace = _kept(traceback.format_exc(), step.folder / ERROR)
        raise CommandError(f"{step.name} failed: {what}", f"{trace}; the same command goes on from here") from error
    progress.end(step, before)
    return outcome


def _kept(trace: str, file: Path) -> str:
    """Where the trace is. What makes a stage fail, a full disk or a folder that is gone, may fail this too."""
    try:
        file.write_text(trace)
    except OSError as error:
        return f"its trace could not be written to {file}: {error.strerror}"
    return f"the trace is in {file}"


def _require_writable(work: Path) -> None:
    try:
        work.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=work):
            pass
    except OSError as error:
        raise CommandError(
            f"no results can be written to {work}: {error.strerror}",
            "name a folder for them with --work or HEADRACE_TRAINING",
        ) from error


def _line(name: str, seconds: float, outcome: Mapping[str, Any]) -> str:
    took = f"{seconds:.1f} s" if seconds else "done before"
    told = ", ".join(f"{key} {_value(value)}" for key, value in outcome.items() if key not in _APART and _worth(value))
    return f"{name}: {took}; {told}"


def _worth(value: Any) -> bool:
    return value not in (None, "", [], {}) and len(_value(value)) <= _SHOWN


def _value(value: Any) -> str:
    match value:
        case float():
            return f"{value:.4g}"
        case dict():
            return "(" + ", ".join(f"{key} {_value(inner)}" for key, inner in value.items()) + ")"
        case list():
            return ", ".join(map(_value, value))
        case str() if _DIGEST.fullmatch(value):
            return value[:12]
    return str(value)
