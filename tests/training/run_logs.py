"""Steps in the log of a training run."""

from typing import Any

from training.train.monitor.log import RunLog


def write_step(log: RunLog, number: int, **fields: Any) -> None:
    """Eight rows in two seconds."""
    usual = {"epoch": 0.1, "loss": 0.5, "learning_rate": 0.1, "gradient_norm": 1.0, "samples": 8, "seconds": 2.0}
    log.write("step", step=number, **{**usual, "waited": 0.5, "cpu": 1.0, "memory": 10**9, **fields})
