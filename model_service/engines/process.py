"""An engine in a process of its own: whatever a graph does to its process, the worker and its other versions go on."""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Lock, Thread, Timer
from time import monotonic
from typing import Any, Final

from model_service.engines import channels
from model_service.engines.base import OUTPUT_BYTES, Arrays, EngineCrashed, EngineError, EngineLost
from model_service.engines.cancel import CancelToken
from model_service.engines.child_process import ChildProcess
from model_service.engines.failures import restore
from model_service.engines.frames import Closed, Received, send
from storage.manifest import Manifest, TensorSpec

log = logging.getLogger(__name__)

# A run that was told to end does so between two of the graph's operators. Whatever takes longer is ended with its
# process.
STOP_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0  # between two attempts to start a process again
# How long a process may take to load the graph: what has not come then hangs. The first time nobody knows how long it
# takes; later it is that often as long as it took, or a little while on a machine that is busy.
START_S: Final = 120.0
AGAIN: Final = 5.0
AGAIN_S: Final = 10.0


class _Child(ChildProcess):
    """The process of one engine. It takes runs once it has loaded, one at a time on each of its channels."""

    def __init__(self, manifest: Manifest, folder: Path, threads: int, output_bytes: int) -> None:
        arguments = ("--folder", str(folder), "--threads", str(threads), "--output-bytes", str(output_bytes))
        super().__init__("model_service.engines.child", arguments, sockets=1 + manifest.engine.instances)
        self._control, *others = self.sockets
        self.idle = deque(enumerate(others))  # runs may be in several threads

    def stop(self, run: int, channel: int) -> None:
        """Ask the process to end a run."""
        with suppress(Closed):
            send(self._control, run, channel, {})


class _Stopping:
    """Of a run that nobody waits for any more: it is told to end, and its process is ended where it does not."""

    __slots__ = ("_child", "_late", "_lock", "_number", "_over", "_run")

    def __init__(self, child: _Child, run: int, number: int) -> None:
        self._child, self._run, self._number = child, run, number
        self._lock = Lock()  # whoever cancels the run is in another thread, and may come when it is over
        self._late: Timer | None = None
        self._over = False

    def begin(self) -> None:
        with self._lock:
            if self._over or self._late is not None:
                return
            self._late = Timer(STOP_S, self._kill)
            self._late.daemon = True
            self._late.start()
        self._child.stop(self._run, self._number)

    def end(self) -> None:
        with self._lock:
            self._over = True
            if self._late is not None:
                self._late.cancel()

    def _kill(self) -> None:
        with self._lock:
            if not self._over:
                self._child.kill("a run that nobody waited for any more did not end")


class ProcessEngine:
    """The engine for the artifact in `folder`, in a process of its own, which is started again when it dies.

    Raises EngineError as `open_engine` does, and where the graph takes more than `start_s` to load. `run` raises
    OutputsTooLarge for more than `output_bytes`, which then stay where they are, and EngineCrashed where the process
    died meanwhile: what it ran then may be what it died of. `crashes` counts those, `died_of` is the last one's reason.
    `lost` is why there is no process and none starts, so that `run` raises EngineLost; None while all is well.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        *,
        threads: int,
        start_s: float = START_S,
        output_bytes: int = OUTPUT_BYTES,
    ) -> None:
        self.crashes, self.died_of = 0, ""
        self.lost: str | None = None
        self._manifest = manifest
        self._tensors: dict[str, Any] = {}
        self._open: Callable[[], _Child] = lambda: _Child(manifest, folder, threads, output_bytes)
        self._start_s = start_s
        self._runs = count(1)
        self._threads = ThreadPoolExecutor(manifest.engine.instances, thread_name_prefix="channel")
        self._lock = Lock()  # of the three below, held while a process starts
        self._child: _Child | None = None
        self._failures, self._retry_at = 0, 0.0
        self._starting: _Child | None = None
        self._closed = False
        began = monotonic()
        self._ensure_started()
        self._start_s = max(AGAIN_S, AGAIN * (monotonic() - began))
        self.inputs, self.outputs = (
            tuple(TensorSpec.model_validate(spec) for spec in self._tensors[name]) for name in ("inputs", "outputs")
        )

    @property
    def pid(self) -> int | None:
        """Of the process, where there is one at the moment."""
        child = self._child
        return None if child is None else child.pid

    def run(self, inputs: Arrays, cancel: CancelToken | None = None) -> Arrays:
        child = self._child or self._ensure_started()
        try:
            with self._channel(child, cancel) as (run, channel):
                frame = channels.ask(channel, run, inputs)
        except Closed:
            raise self._record_crash(child) from None
        return _outputs(frame)

    async def compute(self, inputs: Arrays, cancel: CancelToken | None = None) -> Arrays:
        """As `run`, in the event loop."""
        if (child := self._child) is None:
            child = await asyncio.to_thread(self._ensure_started)
        try:
            with self._channel(child, cancel) as (run, channel):
                frame = await channels.compute(channel, run, inputs, self._threads)
        except Closed:
            raise await asyncio.to_thread(self._record_crash, child) from None
        return _outputs(frame)

    def revive(self) -> None:
        """Have the process started again where it has died while nothing ran, so that no request has to wait for it."""
        child = self._child
        if child is not None and child.has_ended:
            Thread(target=self._record_crash, args=(child,), daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._threads.shutdown(wait=False)
        if (starting := self._starting) is not None:
            starting.kill("it is not wanted any more")  # it may hang, and whoever waits for it holds the lock
        child, self._child = self._child, None
        if child is not None:
            child.end(STOP_S)

    @contextmanager
    def _channel(self, child: _Child, cancel: CancelToken | None) -> Iterator[tuple[int, socket.socket]]:
        """A run's number, and the channel that is its own while the block runs."""
        run, (number, channel) = next(self._runs), child.idle.pop()
        stopping = _Stopping(child, run, number)
        try:
            with (cancel or CancelToken()).stopping(stopping.begin):
                yield run, channel
        finally:
            stopping.end()
        child.idle.append((number, channel))

    def _ensure_started(self) -> _Child:
        """The process, started again where it has died. Raises EngineError, EngineLost where that has failed before."""
        with self._lock:
            if self._closed:
                raise EngineError("the engine is closed")
            if self._child is not None:
                return self._child
            if self.lost is not None and monotonic() < self._retry_at:
                raise EngineLost(f"its process has died and does not start again: {self.lost}")
            try:
                self._starting = child = self._open()
                if self._closed:  # before there was anything to end
                    child.kill("it is not wanted any more")
                self._tensors = child.load(self._manifest, self._start_s)
            except (EngineError, OSError) as error:  # of a process, or of what it takes to have one
                if not self.crashes:
                    raise
                self.lost = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                self._retry_at = monotonic() + min(2.0 ** min(self._failures, 32), LONGEST_PAUSE_S)
                self._failures += 1
                raise EngineLost(f"its process has died and does not start again: {self.lost}") from error
            finally:
                self._starting = None
            self._child, self._failures, self.lost = child, 0, None
            if self._closed:  # meanwhile, and then there was nothing to end yet
                self.close()
                raise EngineError("the engine is closed")
            return child

    def _record_crash(self, child: _Child) -> EngineCrashed:
        with self._lock:
            if self._child is child:  # of several runs, the first to notice
                self._child = None
                self.crashes += 1
                self.died_of = str(child.end())
                log.warning("an engine's process %s", self.died_of)
                Thread(target=self._start_again, daemon=True).start()
        return EngineCrashed(self.died_of)

    def _start_again(self) -> None:
        with suppress(EngineError):
            self._ensure_started()


def _outputs(frame: Received) -> Arrays:
    _, failure, outputs = frame
    if failure is not None:
        raise restore(failure)
    return outputs
