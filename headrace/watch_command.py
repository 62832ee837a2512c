"""`headrace train watch`: what a training run does right now."""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace import options
from headrace.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Group

    from headrace.training_log import Run

WORK = Path(".headrace/training")
WorkFolder = Annotated[Path, typer.Option(envvar="HEADRACE_TRAINING", help="Folder of all runs and their results.")]
COLUMNS = ("step", "epoch", "loss", "valid", "rate", "norm", "rows/s", "wait", "cores", "MB")
GPU = ("GPU", "GPU MB")
BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 60


def watch(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The beginning of its name, or its folder; else the latest.")
    ] = None,
    work: WorkFolder = WORK,
    interval: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks.")] = 1,
    rows: Annotated[int, typer.Option(min=1, help="The last steps that are shown.")] = 15,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end; so does --json.")] = False,
    as_json: options.Json = False,
) -> None:
    """A training run, live, until it is over or Ctrl-C. Where the output is no terminal, one frame."""
    from headrace.output import print_json, print_whole

    folder = _find(run, work)
    if as_json:
        print_json(_plain(_look(folder)))
    elif once or not sys.stdout.isatty():
        print_whole(_draw(_look(folder), rows))
    else:
        with suppress(KeyboardInterrupt):
            _live(folder, rows, interval)


def _live(folder: Path, rows: int, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live

    now = _look(folder)
    with Live(_draw(now, rows), console=Console(highlight=False), auto_refresh=False) as live:
        while now.state == "running":
            time.sleep(interval)
            now.look()
            live.update(_draw(now, rows), refresh=True)


def _find(run: str | None, work: Path) -> Path:
    from headrace.training_log import runs

    if run is not None and Path(run).is_dir():
        return Path(run)
    found = [folder for folder in runs(work) if run is None or folder.name.startswith(run)]
    if not found:
        which = f"no run {run} has" if run else "no run has"
        raise CommandError(f"{which} begun to train in {work}", "start one with headrace train, or name its --work")
    return found[0]


def _look(folder: Path) -> "Run":
    from headrace.training_log import Run

    return Run(folder)


def _plain(run: "Run") -> dict[str, Any]:
    return {
        "run": run.folder.name,
        "folder": str(run.folder),
        "state": run.state,
        "step": run.step,
        "planned": run.planned,
        "seconds_left": run.left_s,
        "settings": dict(run.begin),
        "last": run.steps[-1] if run.steps else None,
        "validation": run.validations[-1] if run.validations else None,
        "alerts": run.alerts,
    }


def _draw(run: "Run", rows: int) -> "Group":
    from rich.console import Group

    from headrace.output import table

    left = "" if run.left_s is None or run.state != "running" else f"  {_clock(run.left_s)} left"
    head = f"{run.folder.name}  {run.state}  step {run.step} of {run.planned}{left}"
    settings = ", ".join(
        f"{name.replace('_', ' ')} {run.begin[name]}"
        for name in ("trainable_parameters", "parameters", "precision", "batch", "max_grad_norm", "warmup_steps")
        if name in run.begin
    )
    validations = {event["step"]: event["loss"] for event in run.validations}
    gpu = any(step["gpu"] is not None for step in run.steps)
    return Group(
        head,
        settings,
        f"loss  {_curve([step['loss'] for step in run.steps])}",
        "",
        table(COLUMNS + GPU * gpu, [_row(step, validations, gpu) for step in run.steps[-rows:]]),
        *(f"ALERT ({alert['kind']}): {alert['text']}" for alert in run.alerts),
    )


def _row(step: dict[str, Any], validations: dict[int, float], gpu: bool) -> list[str]:
    from headrace.training_log import number

    # The first steps of a run may have none yet.
    busy, used = step["gpu"], step["gpu_memory"]
    of_gpu = ("-" if busy is None else f"{busy:.0%}", "-" if used is None else f"{used / 1e6:,.0f}") if gpu else ()
    seconds = step["seconds"] or None
    return [
        str(step["step"]),
        f"{step['epoch']:.2f}",
        number(step["loss"]),
        number(validations.get(step["step"])),
        number(step["learning_rate"]),
        number(step["gradient_norm"]),
        number(seconds and step["samples"] / seconds),
        "-" if seconds is None else f"{step['waited'] / seconds:.0%}",
        number(step["cpu"]),
        f"{step['memory'] / 1e6:,.0f}",
        *of_gpu,
    ]


def _curve(losses: list[Any]) -> str:
    """The losses from the first step to the last, each sign the mean of as many steps."""
    from statistics import fmean

    numbers = [loss for loss in losses if isinstance(loss, float | int)]
    if not numbers:
        return ""
    size = -(-len(numbers) // WIDTH)
    means = [fmean(numbers[at : at + size]) for at in range(0, len(numbers), size)]
    low, span = min(means), (max(means) - min(means)) or 1.0
    signs = "".join(BARS[1 + round((mean - low) / span * (len(BARS) - 2))] for mean in means)
    return f"{means[0]:.4g} {signs} {means[-1]:.4g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
