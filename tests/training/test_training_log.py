"""A run's log as people look at it with `headrace train watch`."""

from pathlib import Path

from typer.testing import CliRunner

from headrace.cli import app
from headrace.training_log import Run
from headrace.watch_command import _curve
from tests.training.run_logs import write_step
from training.train.monitor.log import LOG, RunLog


def test_a_log_that_a_killed_run_goes_on_with_is_read_anew(tmp_path: Path) -> None:
    log = RunLog(tmp_path / LOG)
    log.begin(0)
    log.write("begin", planned=30)
    for number in range(1, 21):
        write_step(log, number)
    run = Run(tmp_path)
    log.begin(10)
    for number in range(11, 26):
        write_step(log, number, loss=0.25)
    run.look()
    before, after = [(number, 0.5) for number in range(1, 11)], [(number, 0.25) for number in range(11, 26)]
    assert [(event["step"], event["loss"]) for event in run.steps] == before + after
    assert (run.step, run.planned) == (25, 30)


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    log = RunLog(tmp_path / LOG)
    log.begin(0)
    write_step(log, 1)
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
        write_step(log, number, gpu=gpu, gpu_memory=memory)
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
