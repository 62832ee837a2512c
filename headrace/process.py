"""One program of the platform: started, its output kept in a file, started again when it dies, stopped."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from headrace import tether
from headrace.errors import CommandError

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
STEADY_S = 30.0  # whoever ran for this long is given the short pause again


@dataclass(frozen=True)
class Program:
    """What to run. `env` is added to the supervisor's own environment."""

    name: str
    command: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)


class Process:
    """A running program, in a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        with self.program.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *self.program.command),
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.program.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def wait(self) -> int:
        """The exit code, once it ends; negative for a signal. What it started itself and left behind is killed."""
        assert self._process is not None, "wait() comes after start()"
        code = await self._process.wait()
        self._signal(signal.SIGKILL)
        return code

    async def must_not_end(self) -> None:
        """Raises CommandError, with the end of its log, as soon as it ends."""
        code = await self.wait()
        lines = self.program.log.read_text(errors="replace").rstrip().splitlines()[-15:]
        raise CommandError(
            f"{self.program.name} {describe(code)} while starting",
            "\n".join([f"the end of {self.program.log}:", *lines]),
        )

    async def keep_running(self, say: Callable[[str], None]) -> None:
        """Start it again each time it ends, after a pause that doubles while it keeps dying. Runs until cancelled."""
        pause = FIRST_PAUSE_S
        while True:
            since = monotonic()
            code = await self.wait()
            if monotonic() - since >= STEADY_S:
                pause = FIRST_PAUSE_S
            say(f"{self.program.name} {describe(code)}; starting it again in {pause:g} s (see {self.program.log})")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            await self.start()

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and kill it when it has not after `grace_s` seconds. Cancel `keep_running` first."""
        if self._process is None or self._process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self.wait()
        except TimeoutError:
            self.kill()
            await self.wait()

    def kill(self) -> None:
        """End it at once, with all that it started."""
        if self._process is not None and self._process.returncode is None:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)  # its session is a process group of the same id


def describe(code: int) -> str:
    """What an exit code says, in words."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
