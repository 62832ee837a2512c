"""The engine and its sessions, and the one place that commits."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from storage.errors import InvalidUrl, NotMigrated, Unavailable
from storage.sqlite import SqliteFile

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
TIMEOUT_S = 5.0
PATIENCE_S = 60.0  # of whoever can wait for other writers, such as a person's command
UNDEFINED_TABLE, UNDEFINED_COLUMN = "42P01", "42703"  # PostgreSQL's SQLSTATEs
# And its classes of them that say nothing of the statement: the connection, resources (a full disk among them), an
# operator who stops it, its own system; read-only, which a server is after a failover, and a transaction that lost.
_NOT_NOW: Final = ("08", "53", "57", "58", "25006", "40001", "40P01", "55P03")


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

    def __init__(self, engine: AsyncEngine, file: SqliteFile | None = None) -> None:
        self.engine = engine
        self._file = file
        self._writing = async_sessionmaker(engine, expire_on_commit=False)
        # A reader sees one moment through all its queries, and never waits for a writer.
        options: dict[str, Any] = {"headrace_reading": True}
        if engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading = async_sessionmaker(engine.execution_options(**options), expire_on_commit=False)

    @classmethod
    def open(cls, url: str, *, timeout_s: float = TIMEOUT_S, patience_s: float | None = None) -> Self:
        """The database at `url`; connections are made when they are needed. Raises InvalidUrl, Unavailable.

        PostgreSQL has `timeout_s` to accept a connection. Who writes to SQLite's file waits for `patience_s`, or else
        `timeout_s`, for those who write before it. Then a session is Unavailable.
        """
        parsed = parse_url(url)
        if parsed.get_backend_name() == "postgresql":
            return cls(create_async_engine(parsed, pool_pre_ping=True, connect_args={"timeout": timeout_s}))
        patience_s = timeout_s if patience_s is None else patience_s
        path = Path(str(parsed.database))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"the registry's folder {path.parent} cannot be made: {error.strerror}") from error
        engine = create_async_engine(parsed, connect_args={"timeout": patience_s})
        return cls(engine, SqliteFile(path, engine, patience_s))

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def session(self, *, read_only: bool = False) -> AsyncIterator[AsyncSession]:
        """A transaction: committed when the block ends, rolled back when it raises.

        Sessions that write come one after another on SQLite. Raises Unavailable where the database does not answer or
        cannot do now what it is asked, and NotMigrated where it lacks our tables.
        """
        async with self._turn(read_only), (self._reading if read_only else self._writing)() as session:
            with _explain_errors():
                try:
                    await session.connection()
                except (OSError, DBAPIError, PoolTimeout) as error:
                    raise Unavailable(f"the registry's database does not answer: {_reason(error)}") from error
                yield session
                await session.commit()

    def _turn(self, read_only: bool) -> AbstractAsyncContextManager[None]:
        if self._file is None:
            return nullcontext()
        self._file.check()
        return nullcontext() if read_only else self._file.turn()


@contextmanager
def _explain_errors() -> Iterator[None]:
    """Raise errors of our own for what a database reports that is no fault of the statement."""
    try:
        yield
    except DBAPIError as error:
        if _lacks_tables(error):
            raise NotMigrated from error
        if error.connection_invalidated:
            raise Unavailable(f"the registry's database went away: {error.orig}") from error
        # SQLite's operational errors are of the file and its disk: full, read only, locked, damaged.
        code = getattr(error.orig, "sqlstate", None) or ""
        if code.startswith(_NOT_NOW) or (not code and isinstance(error, OperationalError)):
            raise Unavailable(f"the registry's database cannot do that now: {error.orig}") from error
        raise


def _reason(error: Exception) -> object:
    """The driver's own message, without the statement and the link that SQLAlchemy adds."""
    return getattr(error, "orig", None) or error


def _lacks_tables(error: DBAPIError) -> bool:
    message = str(error.orig)
    sqlite = "no such table" in message or "no such column" in message
    return sqlite or getattr(error.orig, "sqlstate", None) in (UNDEFINED_TABLE, UNDEFINED_COLUMN)
