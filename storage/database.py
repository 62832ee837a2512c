"""The engine and its sessions, and the one place that commits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from storage.errors import InvalidUrl, NotMigrated, Unavailable

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
TIMEOUT_S = 5.0
UNDEFINED_TABLE, UNDEFINED_COLUMN = "42P01", "42703"  # PostgreSQL's SQLSTATEs


def parse_url(url: str) -> URL:
    """`url` with the driver that we use; InvalidUrl if it names no file of SQLite's and no PostgreSQL database."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidUrl(f"{url!r} is no database URL: sqlite:///path/to/file or postgresql://host/database") from error
    backend = parsed.get_backend_name()
    if backend not in DRIVERS:
        raise InvalidUrl(f"{backend!r} is not supported: the registry lives in sqlite:///... or postgresql://...")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InvalidUrl("SQLite in memory cannot be shared by processes: name a file, sqlite:///path/to/file")
    return parsed.set(drivername=DRIVERS[backend])


class Database:
    """A pool of connections to the registry's database. Open it with `Database.open(url)`; `close()` it at the end."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._writing = async_sessionmaker(engine, expire_on_commit=False)
        # A reader sees one moment through all its queries, and never waits for a writer.
        options: dict[str, Any] = {"headrace_reading": True}
        if engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading = async_sessionmaker(engine.execution_options(**options), expire_on_commit=False)

    @classmethod
    def open(cls, url: str, *, timeout_s: float = TIMEOUT_S) -> Self:
        """The database at `url`; connections are made when they are needed. Raises InvalidUrl.

        After `timeout_s` a session is Unavailable: that long it waits for PostgreSQL to accept a connection, or for
        those who write to SQLite's file before it.
        """
        parsed = parse_url(url)
        waiting = {"timeout": timeout_s}
        if parsed.get_backend_name() == "postgresql":
            return cls(create_async_engine(parsed, pool_pre_ping=True, connect_args=waiting))
        Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(parsed, connect_args=waiting)
        event.listen(engine.sync_engine, "connect", partial(_prepare_sqlite, timeout_s))
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return cls(engine)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def session(self, *, read_only: bool = False) -> AsyncIterator[AsyncSession]:
        """A transaction: committed when the block ends, rolled back when it raises.

        Sessions that write come one after another on SQLite. Raises Unavailable where the database does not answer,
        and NotMigrated where it lacks our tables.
        """
        async with (self._reading if read_only else self._writing)() as session:
            try:
                await session.connection()
            except (OSError, OperationalError, InterfaceError) as error:
                raise Unavailable(f"the registry's database does not answer: {error}") from error
            try:
                yield session
                await session.commit()
            except DBAPIError as error:
                if _lacks_tables(error):
                    raise NotMigrated from error
                if error.connection_invalidated:
                    raise Unavailable(f"the registry's database went away: {error.orig}") from error
                raise


def _prepare_sqlite(timeout_s: float, connection: Any, _: object) -> None:
    # The driver would begin transactions by itself, and too late: before the first write instead of the first read.
    connection.isolation_level = None
    cursor = connection.cursor()
    _write_ahead(cursor, timeout_s)
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _write_ahead(cursor: Any, timeout_s: float) -> None:
    # SQLite's own time limit does not cover this statement: processes that open a new file at once collide here.
    give_up = monotonic() + timeout_s
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except Exception as error:
            if "locked" not in str(error) or monotonic() > give_up:
                raise
            sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: one that had read first could not get it after another writer's commit.
    reading = connection.get_execution_options().get("headrace_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _lacks_tables(error: DBAPIError) -> bool:
    message = str(error.orig)
    sqlite = "no such table" in message or "no such column" in message
    return sqlite or getattr(error.orig, "sqlstate", None) in (UNDEFINED_TABLE, UNDEFINED_COLUMN)
