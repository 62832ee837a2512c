"""Reads what a training process takes of its machine."""

from contextlib import suppress
from time import monotonic
from typing import Final

import psutil
import torch

from training.train.monitor.use import Use

_EVERY_S: Final = 1.0


class Machine:
    """Reads what this process and its data loader's workers use, once a second at most: it goes through /proc."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._at, self._used = monotonic(), self._times()
        self._last = Use(0.0, self._process.memory_info().rss)

    def read(self) -> Use:
        """The use since the last reading."""
        now = monotonic()
        if now - self._at < _EVERY_S:
            return self._last
        used = self._times()
        cpu = max(used - self._used, 0.0) / (now - self._at)
        self._at, self._used = now, used
        self._last = Use(cpu, self._memory(), *_gpu())
        return self._last

    def _memory(self) -> int:
        total = 0
        for process in self._family():
            with suppress(psutil.NoSuchProcess):  # a worker that ended in between
                total += process.memory_info().rss
        return total

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children()]

    def _times(self) -> float:
        total = 0.0
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def _gpu() -> tuple[int, float | None] | tuple[()]:
    """The memory and the utilization of the GPU, nothing without one."""
    if not torch.cuda.is_available():
        return ()
    utilization = None
    with suppress(Exception):  # no nvidia-ml-py, no driver, or a slice of a GPU: training goes on without this figure
        utilization = torch.cuda.utilization() / 100
    return torch.cuda.memory_allocated(), utilization
