"""One program of the platform: started, its output kept, started again when it dies, stopped."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from headrace import tether
from headrace.errors import CommandError
from headrace.logs import Log

ADMIN_TOKEN = "HEADRACE_ADMIN_TOKEN"
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
STEADY_S = 30.0  # whoever ran for this long is started again at once
POLL_S = 0.02


@dataclass(frozen=True)
class Program:
    """What to run. `env` is added to the supervisor's own environment, `inherits` are descriptors that it gets.

    What it prints goes to its log, if it has one. A `tied` one is killed by the kernel when the supervisor is gone.
    """

    name: str
    command: Sequence[str]
    log: Log | None
    env: Mapping[str, str] = field(default_factory=dict)
    inherits: Sequence[int] = ()
    tied: bool = True


class Process:
    """A running program, in a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Raises OSError where the system has no process, no memory or no descriptor left for it."""
        program = self.program
        tie = (sys.executable, "-I", "-S", tether.__file__, str(os.getpid())) if program.tied else ()
        output = subprocess.DEVNULL if program.log is None else program.log.fileno()
        # Not asyncio's subprocesses: those take a thread or a descriptor more, and a child whose watcher could not
        # be had would run on unwatched.
        self._process = subprocess.Popen(
            (*tie, *program.command),
            env={**_environment(), "PYTHONUNBUFFERED": "1", **program.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=program.inherits,
        )

    async def wait(self) -> int:
        """The exit code, once it ends; negative for a signal. What it started itself and left behind is killed."""
        assert self._process is not None, "wait() comes after start()"
        while True:
            if (code := self._process.poll()) is not None:
                self._signal(signal.SIGKILL)
                return code
            await asyncio.sleep(POLL_S)

    async def must_not_end(self) -> None:
        """Raises CommandError, with the end of its log, as soon as it ends."""
        code, log = await self.wait(), self.program.log
        said = [] if log is None else [f"the end of {log.path}:", *await log.last_lines(15)]
        raise CommandError(f"{self.program.name} {describe(code)} while starting", "\n".join(said))

    async def keep_running(self, say: Callable[[str], None]) -> None:
        """Start it again each time it ends, after a pause that doubles while it keeps dying. Runs until cancelled.

        An attempt that fails, as the system has nothing left to start it with, is one more death.
        """
        pause, since = 0.0, monotonic()
        how = describe(await self.wait())
        while True:
            if monotonic() - since >= STEADY_S:
                pause = 0.0
            where = f" (see {self.program.log.path})" if self.program.log else ""
            say(f"{self.program.name} {how}; starting it again {f'in {pause:g} s' if pause else 'at once'}{where}")
            await asyncio.sleep(pause)
            pause, since = min(max(2 * pause, FIRST_PAUSE_S), LONGEST_PAUSE_S), monotonic()
            try:
                self.start()
            except OSError as error:
                how = f"could not be started: {error.strerror}"
            else:
                how = describe(await self.wait())

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and kill it when it has not after `grace_s` seconds. Cancel `keep_running` first."""
        if self._runs():
            self._signal(signal.SIGTERM)
            await self.end(grace_s)

    async def end(self, grace_s: float) -> None:
        """Wait until it has ended by itself, and kill it when it has not after `grace_s` seconds."""
        if not self._runs():
            return
        try:
            async with asyncio.timeout(grace_s):
                await self.wait()
        except TimeoutError:
            self.kill()
            await self.wait()

    def kill(self) -> None:
        """End it at once, with all that it started."""
        if self._runs():
            self._signal(signal.SIGKILL)

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)  # its session is a process group of the same id


def _environment() -> dict[str, str]:
    """The supervisor's own, without what only those are told who need it."""
    return {name: value for name, value in os.environ.items() if name != ADMIN_TOKEN}


def describe(code: int) -> str:
    """What an exit code says, in words."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
