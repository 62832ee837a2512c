"""Runs a recipe for `headrace train`: its stages in order, what each came to, and the report."""

import os
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from rich.console import Console
from rich.live import Live

from headrace.errors import CommandError
from headrace.training_outcome import describe_stage, describe_test
from headrace.training_progress import EVERY_S, Progress, print_regularly
from training.pipeline import Step, prepare
from training.recipe.block import RecipeError
from training.recipe.recipe import Recipe
from training.report.write import render
from training.stage import Busy

ERROR: Final = "error.txt"
REPORTS: Final = "reports"
# The libraries' own bars, tables and warnings would run through what is shown here, those of processes of ours too.
QUIET: Final = {
    "TQDM_DISABLE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "KINETO_LOG_LEVEL": "99",  # above what torch's profiler says when it starts and stops
}


def run_recipe(path: Path, work: Path, until: str | None, as_json: bool) -> dict[str, Any]:
    """Run what is not done: each stage's folder, seconds (0 where it was done before) and outcome, and the report.

    Progress goes to standard error with `as_json`. Raises RecipeError for all that is wrong with the recipe in the file
    `path`, CommandError where a stage fails, or `work` is no place to write to.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recipe, steps = prepare(path, work, until)
        _require_writable(work)
        return _run_steps(recipe, steps, work, Console(highlight=False, stderr=as_json, soft_wrap=True))


def _run_steps(recipe: Recipe, steps: Sequence[Step], work: Path, console: Console) -> dict[str, Any]:
    progress = Progress(steps)
    outcomes: dict[str, dict[str, Any]] = {}
    live = Live(
        console=console,
        get_renderable=progress.draw,
        refresh_per_second=2,
        transient=True,
        auto_refresh=console.is_terminal,
    )
    with live, print_regularly(progress, console, EVERY_S):
        for step in steps:
            outcomes[step.name] = _run(step, outcomes, progress, console)
            console.print(describe_stage(step.name, progress.seconds[step.name], outcomes[step.name]), markup=False)
            for gate in outcomes[step.name].get("gates", ()):
                told = f"gate {'held' if gate['held'] else 'failed'}: {gate['line']}"
                console.print(told, markup=False, soft_wrap=True)  # one line, however long
    if "evaluate" in outcomes:
        console.print(describe_test(outcomes["evaluate"]), markup=False, soft_wrap=True)
    page, text = _write_report(work / REPORTS / recipe.name, recipe, outcomes, steps)
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


def _write_report(
    folder: Path, recipe: Recipe, outcomes: Mapping[str, dict[str, Any]], steps: Sequence[Step]
) -> tuple[Path, Path]:
    try:
        return render(folder, recipe, outcomes, {step.name: step.folder for step in steps})
    except OSError as error:
        raise CommandError(
            f"the report could not be written to {folder}: {error.strerror or error}",
            "all stages are done: the same command writes it",
        ) from error


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
        trace = _keep_trace(traceback.format_exc(), step.folder / ERROR)
        raise CommandError(f"{step.name} failed: {what}", f"{trace}; the same command goes on from here") from error
    progress.end(step, before)
    return outcome


def _keep_trace(trace: str, file: Path) -> str:
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
