"""A process that a worker starts to load a graph in, and speaks to over sockets: how it begins, and how it ended."""

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer
from typing import Any, Final

from model_service.engines.base import EngineError
from model_service.engines.failures import restore
from model_service.engines.frames import Closed, receive, send
from model_service.signals import describe_end
from storage.manifest import Manifest

# Whoever has closed its sockets is on its way out, and may have a core to write or gigabytes to give back. What it died
# of is known only then.
EXIT_S: Final = 10.0
BUFFER_BYTES: Final = 1 << 20  # of a socket: a batch that fits is sent at once


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended: its exit code, negative for a signal. `forced` is why this worker killed it, if it did."""

    code: int
    forced: str | None = None

    def __str__(self) -> str:
        """`was killed by SIGFPE`."""
        return describe_end(self.code) if self.forced is None else f"was ended, as {self.forced}"


class ChildProcess:
    """`python -m module SOCKET... ARGUMENTS`: each SOCKET is a descriptor, whose other end is in `sockets`.

    It can be asked once it is `loaded`.
    """

    sockets: tuple[socket.socket, ...] = ()  # also where there are no descriptors left for them

    def __init__(self, module: str, arguments: Sequence[str], *, sockets: int = 1) -> None:
        pairs = [_pair() for _ in range(sockets)]
        self.sockets = tuple(ours for ours, _ in pairs)
        self.loaded = False
        self._forced: str | None = None
        try:
            theirs = [their.fileno() for _, their in pairs]
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, theirs), *arguments],
                pass_fds=theirs,
                stdin=subprocess.DEVNULL,
            )
        except BaseException:
            self._hang_up()
            raise
        finally:
            for _, their in pairs:
                their.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def load(self, manifest: Manifest, within_s: float) -> dict[str, Any]:
        """What it says once it has loaded the artifact. Raises EngineError, and then it has ended."""
        late = Timer(within_s, self.kill, (f"nothing has come after {within_s:.0f} s",))
        late.daemon = True
        late.start()
        told: dict[str, Any]
        try:
            send(self.sockets[0], 0, manifest.model_dump(mode="json"), {})
            _, told, _ = receive(self.sockets[0])
        except Closed:
            raise EngineError(f"the graph does not load: its process {self.end()}") from None
        finally:
            late.cancel()
        if "error" in told:
            self.end(0.0)
            raise restore(told)
        self.loaded = True
        return told

    def kill(self, why: str) -> None:
        """End it at once, unless it has ended. `why` goes on after "was ended, as"."""
        if self._process.poll() is None:
            self._forced = self._forced or why
            self._process.kill()

    def end(self, within_s: float = EXIT_S) -> End:
        """Hang up, by which it knows that it is done, and wait for its end; it is killed where none comes."""
        self._hang_up()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill(f"it was still there {within_s:g} s after its connection was closed")
        code = self._process.wait()
        # What came by itself while it was about to be killed is what it died of.
        return End(code, self._forced if code == -signal.SIGKILL else None)

    def _hang_up(self) -> None:
        # Whoever reads or watches one of them sees its end. They are not closed under them: the descriptor's number
        # could come again meanwhile.
        for connection in self.sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __del__(self) -> None:
        for connection in self.sockets:
            connection.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return ours, theirs
