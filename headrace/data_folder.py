"""The folder in which `headrace up` keeps everything: the registry, the artifacts, the logs, and who runs over it."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.errors import CommandError

LONGEST_SOCKET_PATH = 100  # a Unix socket's address holds 107 bytes on Linux, 103 on macOS


class DataFolder:
    """`root` may not exist yet; `locked` makes it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.artifacts = self.root / "artifacts"
        self.loaded = self.root / "loaded"
        self.logs = self.root / "logs"
        self.database = self.root / "registry.db"
        self.database_url = f"sqlite+aiosqlite:///{self.database}"
        self._lock = self.root / "up.lock"

    @contextmanager
    def locked(self, url: str) -> Iterator[None]:
        """Only one `headrace up` at a time holds it, and the lock goes with its process, however that ends.

        `url` is what `running` tells others meanwhile. Raises CommandError where another one holds it.
        """
        try:
            for folder in (self.root, self.artifacts, self.logs):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self._lock.open("a+")
        except OSError as error:
            raise CommandError(
                f"{self.root} cannot be written: {error.strerror}", "choose another folder with --data"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError(
                    f"another `headrace up` runs over {self.root}, at {self.running() or 'an address not known yet'}",
                    "stop it, or choose another folder with --data",
                ) from None
            lock.truncate(0)
            lock.write(json.dumps({"pid": os.getpid(), "url": url}))
            lock.flush()
            yield

    def running(self) -> str | None:
        """The gateway's URL, where a `headrace up` runs over this folder."""
        try:
            with self._lock.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return str(json.load(lock)["url"])
        except (OSError, ValueError, KeyError):
            return None
        return None

    def log(self, name: str) -> Path:
        """A fresh log file for a program; the one of the run before is kept beside it."""
        log = self.logs / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        return log

    @contextmanager
    def socket(self) -> Iterator[Path]:
        """Where the cache's server listens: out of reach of the machine's other users."""
        path = self.root / "valkey.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
            yield Path(folder) / path.name
