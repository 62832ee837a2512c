"""What each process takes of the machine while a load runs: cores and memory, second by second."""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TypedDict

import psutil


class Usage(TypedDict):
    """Of one process and its children, over a stretch of time."""

    cpu: float  # cores, on average
    memory_mb: float  # resident, the most that was seen, 10^6 bytes; what its processes share is counted for each
    cpu_per_second: list[float]
    memory_mb_per_second: list[float]


Sample = tuple[float, float, int]  # when (epoch seconds), CPU seconds so far, resident bytes


class Sampler:
    """Looks at processes once a second, from a thread."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._samples: dict[str, list[Sample]] = {name: [] for name in pids}
        self._over = threading.Event()

    def watch(self, name: str, pid: int) -> None:
        """One process more, from now on."""
        self._samples[name] = []
        self._processes[name] = psutil.Process(pid)

    @contextlib.contextmanager
    def running(self) -> Iterator["Sampler"]:
        """Sample until the block ends."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def usage(self, began: float, seconds: float) -> dict[str, Usage]:
        """What each process took from `began` (epoch seconds) on."""
        found = {}
        for name, samples in self._samples.items():
            of_it = [sample for sample in samples if began - 1 <= sample[0] <= began + seconds + 1]
            if len(of_it) < 2:
                continue
            steps = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(of_it)]
            (first, cpu, _), (last, cpu_at_end, _) = of_it[0], of_it[-1]
            found[name] = Usage(
                cpu=(cpu_at_end - cpu) / (last - first),
                memory_mb=max(resident for _, _, resident in of_it) / 1e6,
                cpu_per_second=[round(step, 3) for step in steps],
                memory_mb_per_second=[round(resident / 1e6, 1) for _, _, resident in of_it[1:]],
            )
        return found

    def _run(self) -> None:
        while not self._over.is_set():
            for name, process in list(self._processes.items()):  # another may be added meanwhile
                with contextlib.suppress(psutil.NoSuchProcess):
                    self._samples[name].append(_sample(process))
            self._over.wait(1.0)


def _sample(process: psutil.Process) -> Sample:
    cpu, resident = 0.0, 0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess), one.oneshot():
            times = one.cpu_times()
            cpu += times.user + times.system
            # PostgreSQL's processes share most of their memory: counted once for each, so this is the most it can be.
            resident += one.memory_info().rss
    return time.time(), cpu, resident
