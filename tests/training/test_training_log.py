"""A run's log as people look at it: `headrace train watch`."""

from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from headrace.cli import app
from training.train.monitor.log import LOG, RunLog


def step(log: RunLog, number: int, **fields: Any) -> None:
    """Eight rows in two seconds."""
    usual = {"epoch": 0.1, "loss": 0.5, "learning_rate": 0.1, "gradient_norm": 1.0, "samples": 8, "seconds": 2.0}
    log.write("step", step=number, **{**usual, "waited": 0.5, "cpu": 1.0, "memory": 10**9, **fields})


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
