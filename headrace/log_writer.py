"""Writes what programs print into files that stay small: `log_writer.py BYTES KEPT FD PATH [FD PATH ...]`

Run as a script. Each FD is the end of a socket pair whose other end a program has as its output. A file that would grow
beyond BYTES is renamed to PATH.1, that one to PATH.2, and so on up to KEPT. It is a process of its own, so that a
supervisor that is stopped stops nobody who logs; and it ends when the last program that could say something has.

What is read is first written and then taken out of the socket: another writer goes on where one was killed. What cannot
be written (a full disk, a folder that is gone) is left out, and the file says how much as soon as it can.
"""

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

CHUNK = 1 << 16
RETRY_S = 1.0


class Log:
    """A file that is appended to by whole lines, as far as possible."""

    def __init__(self, path: Path, limit: int, kept: int) -> None:
        self._path = path
        self._limit = limit
        self._kept = kept
        self._file = -1
        self._size = 0
        self._within_line = False
        self._lost = 0  # lines, and why
        self._why = ""
        self._retry_at = 0.0

    def write(self, data: bytes) -> None:
        """Append it, in a new file from the first line on that the present one has no room for. Raises nothing."""
        if self._file < 0 and time.monotonic() < self._retry_at:
            self._lost += data.count(b"\n")
            return
        try:
            if self._file >= 0 and not self._is_there():
                self._close()
            self._open()
            while data:
                data = data[self._append(data[: self._count_fitting(data)]) :]
        except OSError as error:
            self._lost += data.count(b"\n")
            self._why = error.strerror or type(error).__name__
            self._close()
            self._retry_at = time.monotonic() + RETRY_S

    def _count_fitting(self, data: bytes) -> int:
        """How many of the bytes go into the file that is open, which is another one after this where they don't."""
        room = self._limit - self._size
        if len(data) <= room:
            return len(data)
        whole = data.rfind(b"\n", 0, max(room, 0)) + 1
        if whole:
            return whole
        if self._within_line or self._size == 0:  # a line may be longer than there is room for
            return data.find(b"\n") + 1 or len(data)
        self._close()
        rotate(self._path, self._kept)
        self._open()
        return self._count_fitting(data)

    def _append(self, data: bytes) -> int:
        written = os.write(self._file, data)
        self._size += written
        self._within_line = data[written - 1 : written] != b"\n"
        return written

    def _is_there(self) -> bool:
        """Whether the file that is open still has its name: somebody may have cleared the folder up."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        if self._file >= 0:
            return
        self._path.parent.mkdir(exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size
        if self._lost:
            broken = b"\n" if self._within_line else b""
            self._append(b"%b[%d lines could not be written: %b]\n" % (broken, self._lost, self._why.encode()))
            self._lost = 0

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def rotate(path: Path, kept: int) -> None:
    """Make room for a new file: the earlier ones move on by one, and the oldest goes."""
    for number in range(kept - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            archive_path(path, number).replace(archive_path(path, number + 1))
    with contextlib.suppress(FileNotFoundError):
        path.replace(archive_path(path, 1))


def archive_path(path: Path, number: int) -> Path:
    """Where the file stands that was full `number` files ago."""
    return path.with_name(f"{path.name}.{number}")


def main() -> None:
    """Until all outputs have been closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whoever logs says last words too
    limit, kept, *pairs = sys.argv[1:]
    waiting = selectors.DefaultSelector()
    for fd, path in zip(pairs[::2], pairs[1::2], strict=True):
        waiting.register(socket.socket(fileno=int(fd)), selectors.EVENT_READ, Log(Path(path), int(limit), int(kept)))
    while waiting.get_map():
        for key, _ in waiting.select():
            output, log = key.fileobj, key.data
            assert isinstance(output, socket.socket)
            if data := output.recv(CHUNK, socket.MSG_PEEK):
                log.write(data)
                output.recv(len(data))
            else:
                waiting.unregister(output)


if __name__ == "__main__":
    main()
