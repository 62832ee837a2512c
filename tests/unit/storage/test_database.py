"""Transactions, and what is said where there is no usable database."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from storage.database import Database, parse_url
from storage.errors import InvalidUrl, NotMigrated, Unavailable
from storage.migrate import upgrade
from storage.registry import Registry
from storage.tables import Model, Numbering
from tests.servers import create_database, free_port, postgres_server


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("sqlite:///a/b.db", "sqlite+aiosqlite:///a/b.db"),
        ("sqlite+aiosqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db"),
        ("postgresql://u:p@h:1/d", "postgresql+asyncpg://u:p@h:1/d"),
        ("postgresql+psycopg://h/d", "postgresql+asyncpg://h/d"),
        ("postgres://h/d", "postgresql+asyncpg://h/d"),
    ],
)
def test_a_url_gets_the_driver_that_is_installed(given: str, parsed: str) -> None:
    assert parse_url(given).render_as_string(hide_password=False) == parsed


@pytest.mark.parametrize("url", ["", "registry.db", "mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_cannot_work_is_refused_with_one_that_can(url: str) -> None:
    with pytest.raises(InvalidUrl, match=r"sqlite:///"):
        Database.open(url)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "postgresql":
        url = await create_database(request.getfixturevalue("postgres_url"))
    else:
        url = f"sqlite:///{tmp_path}/new/folder/registry.db"
    await upgrade(url)
    database = Database.open(url)
    yield database
    await database.close()


async def count(database: Database) -> int:
    async with database.session(read_only=True) as session:
        return (await session.execute(select(func.count(Model.id)))).scalar_one()


async def test_a_session_commits_when_it_ends_and_rolls_back_when_it_raises(database: Database) -> None:
    async with database.session() as session:
        session.add(Model(name="kept"))

    async def break_midway() -> None:
        async with database.session() as session:
            session.add(Model(name="lost"))
            await session.flush()
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        await break_midway()
    assert await count(database) == 1


async def test_a_reader_sees_one_moment_and_waits_for_no_writer(database: Database) -> None:
    async with database.session(read_only=True) as reader:
        counting = select(func.count(Model.id))
        before = (await reader.execute(counting)).scalar_one()
        async with database.session() as writer:
            writer.add(Model(name="new"))
        assert (await reader.execute(counting)).scalar_one() == before == 0
    async with database.session() as writer:
        writer.add(Model(name="newer"))
        await writer.flush()
        assert await count(database) == 1
    assert await count(database) == 2


async def test_writers_that_read_first_lose_no_update(database: Database) -> None:
    async with database.session() as session:
        session.add(Numbering(name="m"))

    async def increment() -> None:
        async with database.session() as session:
            numbering = (await session.scalars(select(Numbering).with_for_update())).one()
            numbering.last_version += 1

    await asyncio.gather(*(increment() for _ in range(8)))
    async with database.session(read_only=True) as session:
        assert (await session.scalars(select(Numbering.last_version))).one() == 8


async def test_a_database_without_our_tables_says_how_to_make_them(
    database: Database, tmp_path: Path, postgres_url: str
) -> None:
    for url in (f"sqlite:///{tmp_path}/empty.db", await create_database(postgres_url)):
        empty = Database.open(url)
        with pytest.raises(NotMigrated, match=r"python -m storage\.migrate"):
            await Registry(empty).snapshot()
        await empty.close()


async def test_a_database_that_nobody_answers_for_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for url in (f"sqlite:///{tmp_path}/folder", f"postgresql://postgres@127.0.0.1:{free_port()}/x"):
        database = Database.open(url)
        with pytest.raises(Unavailable, match="does not answer"):
            await Registry(database).snapshot()
        await database.close()
    for thread in threading.enumerate():
        # The driver's thread for a file that it could not open still has something to tell this event loop.
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join)


async def test_who_waits_for_a_writer_longer_than_the_timeout_finds_the_database_unavailable(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    await upgrade(url)
    writer, waiting = Database.open(url), Database.open(url, timeout_s=0.05)
    async with writer.session():
        with pytest.raises(Unavailable, match="locked"):
            await Registry(waiting).beat("replica", "http://127.0.0.1:1", {})
        assert await Registry(waiting).models() == []
    await Registry(waiting).beat("replica", "http://127.0.0.1:1", {})
    await writer.close()
    await waiting.close()


async def test_a_server_that_takes_connections_and_says_nothing_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        database = Database.open(f"postgresql://postgres@127.0.0.1:{port}/x", timeout_s=0.05)
        with pytest.raises(Unavailable, match="does not answer"):
            await Registry(database).snapshot()
        await database.close()


async def test_a_database_that_goes_away_is_unavailable_and_is_used_again_when_it_is_back(
    postgres_url: str,
) -> None:
    url = await create_database(postgres_url)
    await upgrade(url)
    database, killer = Database.open(url), Database.open(postgres_url)
    terminate = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")

    async def lose_the_connection_midway() -> None:
        async with database.session() as session:
            await session.execute(select(func.count(Model.id)))
            async with killer.session() as other:
                await other.execute(terminate, {"name": url.rsplit("/", 1)[1]})
            await session.execute(select(func.count(Model.id)))

    with pytest.raises(Unavailable):
        await lose_the_connection_midway()
    assert await count(database) == 0
    await database.close()
    await killer.close()


async def test_a_stopped_server_is_unavailable_also_to_a_pool_that_was_connected() -> None:
    with postgres_server() as server:
        await upgrade(server.url)
        database = Database.open(server.url)
        assert await count(database) == 0
    with pytest.raises(Unavailable):
        await count(database)
    await database.close()
