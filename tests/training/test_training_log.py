"""A run's log as people look at it: the bar of `headrace train`, and `headrace train watch`."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text
from typer.testing import CliRunner

from headrace.cli import app
from headrace.training_log import Run
from headrace.training_run import Progress
from headrace.watch_command import _curve
from tests.training.data_stage import recipe
from training.pipeline import plan
from training.train.monitor.log import LOG, RunLog


def step(log: RunLog, number: int, **fields: Any) -> None:
    """Eight rows in two seconds."""
    usual = {"epoch": 0.1, "loss": 0.5, "learning_rate": 0.1, "gradient_norm": 1.0, "samples": 8, "seconds": 2.0}
    log.write("step", step=number, **{**usual, "waited": 0.5, "cpu": 1.0, "memory": 10**9, **fields})


def test_the_bar_shows_the_figures_of_a_log_that_grows_and_reads_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,y\n")
    data, train = plan(recipe(tmp_path, datasets=[{"path": "a.csv"}]), tmp_path / "work", "train")
    progress = Progress([data, train])
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=160)
    with Live(console=console, get_renderable=progress.drawn, auto_refresh=False) as live:

        def shown() -> str:
            screen.seek(0)
            screen.truncate()
            live.refresh()
            return Text.from_ansi(screen.getvalue()).plain

        progress.begin(data)
        progress.said = "40 of 40 rows"
        assert "━" in shown()
        assert all(words in shown() for words in ("data", "0/2", "40 of 40 rows"))
        progress.end(data, before=False)
        progress.begin(train)
        assert all(words in shown() for words in ("train", "1/2"))
        log = RunLog(train.folder / LOG)
        log.begin(0)
        log.write("begin", planned=40)
        assert all(words in shown() for words in ("0/40", "the first step is not done yet"))
        for number in range(1, 21):
            step(log, number)
        assert all(words in shown() for words in ("20/40", "loss 0.5, learning rate 0.1, 4 rows/s"))
        with (train.folder / LOG).open("r+b") as file:
            file.write(b" " * ((train.folder / LOG).stat().st_size - 1))
        step(log, 21, loss=0.25, samples=88)
        assert all(words in shown() for words in ("21/40", "loss 0.25, learning rate 0.1, 8 rows/s"))


def test_a_log_that_a_killed_run_goes_on_with_is_read_anew(tmp_path: Path) -> None:
    log = RunLog(tmp_path / LOG)
    log.begin(0)
    log.write("begin", planned=30)
    for number in range(1, 21):
        step(log, number)
    run = Run(tmp_path)
    log.begin(10)
    for number in range(11, 26):
        step(log, number, loss=0.25)
    run.look()
    before, after = [(number, 0.5) for number in range(1, 11)], [(number, 0.25) for number in range(11, 26)]
    assert [(event["step"], event["loss"]) for event in run.steps] == before + after
    assert (run.step, run.planned) == (25, 30)


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    log = RunLog(tmp_path / LOG)
    log.begin(0)
    step(log, 1)
    whole = (tmp_path / LOG).read_bytes()
    run = Run(tmp_path)
    with (tmp_path / LOG).open("ab") as file:
        file.write(whole[:20])
        file.flush()
        run.look()
        assert len(run.steps) == 1
        file.write(whole[20:])
    run.look()
    assert len(run.steps) == 2


def test_a_run_whose_first_steps_have_no_figures_of_the_gpu_can_be_watched(tmp_path: Path) -> None:
    log = RunLog(tmp_path / LOG)
    log.begin(0)
    log.write("begin", planned=3)
    for number, (gpu, memory) in enumerate(((None, None), (None, 5 * 10**8), (0.5, 10**9)), 1):
        step(log, number, gpu=gpu, gpu_memory=memory)
    result = CliRunner().invoke(app, ["train", "watch", str(tmp_path)], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    ends = {line[0]: line[-2:] for line in lines if line[:1] in (["1"], ["2"], ["3"])}
    assert ends == {"1": ["-", "-"], "2": ["-", "500"], "3": ["50%", "1,000"]}


def test_speed_is_that_of_the_last_steps(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.write("begin", planned=30)
    for step in range(1, 21):
        log.write(
            "step", step=step, loss=1.0, learning_rate=0.1, samples=8, seconds=8.0 if step <= 10 else 2.0, waited=1.0
        )
    figures = Run(tmp_path).figures
    assert figures is not None
    assert (figures.samples_per_s, figures.waiting, figures.seconds_per_step) == (4.0, 0.5, 2.0)
    assert Run(tmp_path).left_s == 20.0


def test_the_curve_goes_down_with_the_loss() -> None:
    assert _curve([3.0, 2.0, 1.0]) == "3 █▅▁ 1"
    assert _curve(["nan"]) == ""
    assert len(_curve([float(step) for step in range(1000)]).split()[1]) <= 60
