"""What only SQLite needs: how its transactions begin, who writes next, and whether its file is still there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.errors import Unavailable


class SqliteFile:
    """The file of an engine's connections. A writer waits for `patience_s` at most."""

    def __init__(self, path: Path, engine: AsyncEngine, patience_s: float) -> None:
        self._path = path
        self._patience_s = patience_s
        self._writing = asyncio.Lock()
        self._log_path = path.with_name(f"{path.name}-wal")
        # Device and inode of the file that connections have open, and of its write-ahead log while there are any.
        self._opened: tuple[int, int] | None = None
        self._log: tuple[int, int] | None = None
        self._connections = 0
        event.listen(engine.sync_engine, "do_connect", self._refuse_to_begin_anew)
        event.listen(engine.sync_engine, "connect", self._prepare)
        event.listen(engine.sync_engine, "close", self._count_close)
        event.listen(engine.sync_engine, "begin", _begin)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have the writers of this process take turns: each that waited in the database would occupy a connection."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self._writing.acquire()
        except TimeoutError:
            raise Unavailable(f"the registry's database is locked: others wrote for {self._patience_s:g} s") from None
        try:
            yield
        finally:
            self._writing.release()

    def check(self) -> None:
        """Raises Unavailable where the file, or its log, is gone or replaced: connections would go on with theirs.

        What others write then goes to another log, which those that have the old one open never see.
        """
        if self._opened is None:
            return
        try:
            there = _identity(self._path)
        except OSError as error:
            raise Unavailable(
                f"the registry's file {self._path} is gone ({error.strerror}): put it back where it was"
            ) from error
        if there != self._opened:
            raise Unavailable(
                f"another file lies in the place of the registry's {self._path}: put the first one back, or restart to"
                " go on with this one"
            )
        if self._connections:
            self._check_log()

    def _check_log(self) -> None:
        try:
            log = _identity(self._log_path)
        except OSError:
            log = None
        if self._log is None:
            self._log = log
        elif log != self._log:  # SQLite itself leaves it alone as long as one connection has it open
            raise Unavailable(
                f"{self._log_path}, where the registry's last writes are, was deleted or replaced while it was in use:"
                " restart the platform, which then goes on with what is there"
            )

    def _refuse_to_begin_anew(self, *_: object) -> None:
        # Opening a file makes it, and SQLite deletes the log of an empty one: with it, what was written last.
        if self._log_path.exists() and not self._path.exists():
            raise Unavailable(
                f"the registry's file {self._path} is gone, but {self._log_path}, with its last writes, is there: put"
                " it back where it was, or delete that too to begin anew"
            )

    def _count_close(self, *_: object) -> None:
        self._connections -= 1
        if not self._connections:
            self._log = None  # the last connection takes the log with it

    def _prepare(self, connection: Any, _: object) -> None:
        # The driver would begin transactions by itself, and too late: before the first write, not the first read.
        connection.isolation_level = None
        cursor = connection.cursor()
        _write_ahead(cursor, self._patience_s)
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()
        self._connections += 1
        if self._opened is None:
            self._opened = _identity(self._path)


def _identity(path: Path) -> tuple[int, int]:
    there = path.stat()
    return there.st_dev, there.st_ino


def _write_ahead(cursor: Any, patience_s: float) -> None:
    # SQLite's own time limit does not cover this statement: processes that open a new file at once collide here.
    give_up = monotonic() + patience_s
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except Exception as error:
            if "locked" not in str(error) or monotonic() > give_up:
                raise
            sleep(0.01)


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: one that had read first could not get it after another writer's commit.
    reading = connection.get_execution_options().get("headrace_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
