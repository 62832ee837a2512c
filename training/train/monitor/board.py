"""A training run's figures as curves for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch.utils.tensorboard import SummaryWriter

from training.train.monitor.alerts import Step
from training.train.monitor.use import Use

FOLDER: Final = "tensorboard"
_FLUSH_S: Final = 5  # a killed run leaves no more undrawn than that


class Board:
    """Writes into `tensorboard/` of the stage's folder, from `begin` on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._writer: Any = None

    def begin(self, step: int) -> None:
        """Go on after `step`: what a killed run drew of later ones is not shown."""
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1 if step else None, flush_secs=_FLUSH_S)

    def step(self, step: Step, use: Use) -> None:
        """Draw a step's figures."""
        seconds = step.waited + step.computed
        figures = {
            "train/loss": step.loss,
            "train/learning_rate": step.learning_rate,
            "train/gradient_norm": step.gradient_norm,
            "train/epoch": step.epoch,
            "speed/rows_per_second": step.samples / seconds,
            "speed/seconds": seconds,
            "speed/waiting_ratio": step.waited / seconds,
            "machine/cpu_cores": use.cpu,
            "machine/memory_bytes": use.memory,
            "machine/gpu_ratio": use.gpu,
            "machine/gpu_memory_bytes": use.gpu_memory,
        }
        self.draw(step.step, {name: value for name, value in figures.items() if value is not None})

    def draw(self, step: int, figures: Mapping[str, float]) -> None:
        """Draw what else there is to a step."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def end(self) -> None:
        """Write what is left to be written."""
        if self._writer is not None:
            self._writer.close()
