"""The folder in which `headrace up` keeps everything: the registry, the artifacts, the logs, and who runs over it."""

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headrace.errors import CommandError
from headrace.log_writer import rotate
from headrace.logs import LOGS_KEPT

LONGEST_SOCKET_PATH = 100  # a Unix socket's address holds 107 bytes on Linux, 103 on macOS
LONGEST_SOCKET_NAME = len("/gateway-255.sock")


class DataFolder:
    """`root` may not exist yet; `locked` makes it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.artifacts = self.root / "artifacts"
        self.loaded = self.root / "loaded"
        self.logs = self.root / "logs"
        self.database = self.root / "registry.db"
        self.database_url = f"sqlite+aiosqlite:///{self.database}"
        self.secrets = self.root / "secrets"
        self._lock = self.root / "up.lock"

    @contextmanager
    def lock(self) -> Iterator[Callable[[str], None]]:
        """Only one `headrace up` at a time holds it, and the lock goes with its process, however that ends.

        What it yields is given the URL that `running_url` tells others meanwhile. Raises CommandError where it is held.
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
                at = self.running_url() or "an address not known yet"
                raise CommandError(
                    f"another `headrace up` runs over {self.root}, at {at}",
                    "stop it, or choose another folder with --data",
                ) from None
            lock.truncate(0)

            def announce(url: str) -> None:
                # Without it commands find this platform by --url alone, which is no reason not to serve.
                with suppress(OSError):
                    lock.write(json.dumps({"pid": os.getpid(), "url": url}))
                    lock.flush()

            yield announce

    def running_url(self) -> str | None:
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

    def cache_secret(self) -> str:
        """What the gateways over this folder sign cached answers with; made the first time, for its owner alone."""
        path = self.secrets / "headrace_cache_secret"
        try:
            if not path.is_file():
                self.secrets.mkdir(exist_ok=True, mode=0o700)
                # Whole or not at all, so that a crash leaves no secret that is too short.
                handle, unfinished = tempfile.mkstemp(dir=self.secrets)  # for its owner alone
                with open(handle, "w") as file:
                    file.write(secrets.token_hex(32))
                os.replace(unfinished, path)
            return path.read_text().strip()
        except OSError as error:
            raise CommandError(
                f"{path} cannot be made or read: {error.strerror}", "choose another folder with --data"
            ) from error

    def log(self, name: str) -> Path:
        """A fresh log file for a program; those of the runs before are kept beside it, as full ones are."""
        log = self.logs / f"{name}.log"
        rotate(log, LOGS_KEPT)
        return log

    @contextmanager
    def sockets(self) -> Iterator[Path]:
        """Where the programs listen for each other alone: out of reach of the machine's other users."""
        if len(os.fsencode(self.root)) + LONGEST_SOCKET_NAME <= LONGEST_SOCKET_PATH:
            yield self.root
            return
        with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
            yield Path(folder)
