"""What a worker takes of its machine, the processes of its engines included."""

import resource
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import Metric, ProcessCollector

_ADDED: Final = ("process_cpu_seconds", "process_resident_memory_bytes", "process_virtual_memory_bytes")


class ProcessesCollector(ProcessCollector):
    """The usual `process_` metrics, with those of the processes `others` added; of those that ended, the CPU time."""

    def __init__(self, others: Callable[[], Iterable[int]]) -> None:
        super().__init__(registry=None)
        self._others = others

    def collect(self) -> Iterable[Metric]:
        metrics = list(super().collect())
        by_name = {metric.name: metric for metric in metrics}
        wanted = [by_name[name] for name in _ADDED if name in by_name]  # none where the system has no /proc
        for pid in self._others():
            other = ProcessCollector(pid=partial(int, pid), registry=None)
            theirs = {metric.name: metric for metric in other.collect()}
            for metric in wanted:
                if metric.name in theirs:  # it may have ended meanwhile
                    _add(metric, theirs[metric.name].samples[0].value)
        if "process_cpu_seconds" in by_name:
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            _add(by_name["process_cpu_seconds"], ended.ru_utime + ended.ru_stime)
        return metrics


def resident_bytes(pid: int) -> int:
    """The memory that a process holds; 0 where there is no such process, or no way to tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _add(metric: Metric, value: float) -> None:
    (sample,) = metric.samples
    metric.samples = [sample._replace(value=sample.value + value)]
