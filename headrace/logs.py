"""Where the programs' outputs go: through one process that writes them into files, and keeps those small."""

import array
import asyncio
import contextlib
import fcntl
import socket
import sys
import termios
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from headrace import log_writer

LOG_BYTES: Final = 16 << 20  # of one file
LOGS_KEPT: Final = 3  # full ones, beside the one that is written
_WRITTEN_S: Final = 2.0
_POLL_S: Final = 0.01


class Log:
    """A program's output on its way to the file `path`, which may be read a moment later.

    This process holds both ends: neither a program nor the writer loses anything when the other is started anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unwritten, self._output = socket.socketpair()

    def fileno(self) -> int:
        """What a program is given as its output."""
        return self._output.fileno()

    def close(self) -> None:
        """Nobody says anything any more: once all logs are closed and their programs have ended, the writer ends."""
        self._output.close()
        self.unwritten.close()

    async def last_lines(self, count: int) -> list[str]:
        """The end of it, with all that was said until now; nothing of it where it cannot be read."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WRITTEN_S):
                await self._until_written()
        try:
            with self.path.open(errors="replace") as lines:
                return [line.rstrip() for line in deque(lines, count)]
        except OSError as error:
            return [f"it cannot be read: {error.strerror}"]

    async def _until_written(self) -> None:
        size = array.array("i", [0])
        while True:
            fcntl.ioctl(self.unwritten, termios.FIONREAD, size)
            if size[0] == 0:
                return
            await asyncio.sleep(_POLL_S)


def writer(logs: Sequence[Log], limit: int = LOG_BYTES, kept: int = LOGS_KEPT) -> tuple[str, ...]:
    """The command that writes them; it inherits their `unwritten` ends."""
    pairs = [part for log in logs for part in (str(log.unwritten.fileno()), str(log.path))]
    return (sys.executable, "-I", "-S", log_writer.__file__, str(limit), str(kept), *pairs)
