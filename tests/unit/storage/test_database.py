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
    before = set(threading.enumerate())
    for url in (f"sqlite:///{tmp_path}/folder", f"postgresql://postgres@127.0.0.1:{free_port()}/x"):
        database = Database.open(url)
        with pytest.raises(Unavailable, match="does not answer"):
            await Registry(database).snapshot()
        await database.close()
    for thread in set(threading.enumerate()) - before:
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


async def test_whoever_comes_while_the_file_is_away_neither_makes_another_nor_deletes_its_log(tmp_path: Path) -> None:
    path, away = tmp_path / "registry.db", tmp_path / "away.db"
    url = f"sqlite:///{path}"
    await upgrade(url)
    database, late = Database.open(url), Database.open(url)
    await Registry(database).beat("w1", "http://w1", {})
    log = path.with_name("registry.db-wal")
    inode = log.stat().st_ino
    path.rename(away)
    for coming in (Registry(late).snapshot(), upgrade(url)):
        with pytest.raises(Unavailable, match=f"registry's file {path} is gone, but {log}"):
            await coming
    assert not path.exists()
    away.rename(path)
    assert log.stat().st_ino == inode
    await Registry(late).beat("w2", "http://w2", {})
    assert {replica.id for replica in (await Registry(database).snapshot()).replicas} == {"w1", "w2"}
    await late.close()
    await database.close()


async def test_a_log_that_is_deleted_under_us_is_noticed_as_others_write_to_another(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    url = f"sqlite:///{path}"
    await upgrade(url)
    database = Database.open(url)
    registry = Registry(database)
    for _ in range(2):
        await registry.beat("w1", "http://w1", {})
    log = path.with_name("registry.db-wal")
    log.unlink()
    for asking in (registry.snapshot(), registry.beat("w1", "http://w1", {})):
        with pytest.raises(Unavailable, match=f"{log}.* was deleted or replaced .* restart"):
            await asking
    await database.close()


async def test_a_log_that_ends_with_its_last_connection_is_no_fault(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    await upgrade(url)
    database = Database.open(url)
    registry = Registry(database)
    for _ in range(3):
        await registry.beat("w1", "http://w1", {})
        await registry.snapshot()
        await database.engine.dispose()
        (tmp_path / "registry.db-wal").touch()  # another inode than before
    await database.close()


async def test_a_file_that_is_renamed_deleted_or_replaced_under_us_is_noticed(tmp_path: Path) -> None:
    path, away = tmp_path / "registry.db", tmp_path / "away.db"
    url = f"sqlite:///{path}"
    await upgrade(url)
    database = Database.open(url)
    registry = Registry(database)
    await registry.beat("w1", "http://w1", {})
    path.rename(away)
    for asking in (registry.snapshot(), registry.beat("w1", "http://w1", {})):
        with pytest.raises(Unavailable, match=f"registry's file {path} is gone .*put it back"):
            await asking
    assert not path.exists(), "an empty file in its place would look like a registry without models"
    path.write_bytes(b"")  # as whoever begins anew there
    with pytest.raises(Unavailable, match=f"another file lies in the place of the registry's {path}"):
        await registry.snapshot()
    away.replace(path)
    assert [replica.beat for replica in await registry.replicas()] == [1]
    await database.close()


async def test_a_file_that_cannot_be_written_or_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    await upgrade(url)
    database = Database.open(url)
    async with database.session() as session:
        await session.execute(text("PRAGMA query_only=ON"))  # what writing to a file system without rights comes to
    with pytest.raises(Unavailable, match="attempt to write a readonly database"):
        await Registry(database).beat("w1", "http://w1", {})
    await database.close()
    with pytest.raises(Unavailable, match="cannot be made"):
        Database.open(f"sqlite:///{tmp_path}/registry.db/folder/registry.db")


async def test_a_server_that_only_reads_is_unavailable_to_who_writes(postgres_url: str) -> None:
    url = await create_database(postgres_url)
    await upgrade(url)
    database = Database.open(url)
    async with database.session() as session:
        await session.execute(text(f"ALTER DATABASE {url.rsplit('/', 1)[1]} SET default_transaction_read_only = on"))
    await database.close()
    assert await Registry(database).models() == []
    with pytest.raises(Unavailable, match=r"cannot do that now.*read-only transaction"):
        await Registry(database).beat("w1", "http://w1", {})
    await database.close()


async def test_writers_that_wait_leave_connections_to_those_who_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    await upgrade(url)
    other, database = Database.open(url), Database.open(url, patience_s=60)
    registry = Registry(database)
    async with other.session():  # as another process that holds the lock
        waiting = [asyncio.create_task(registry.beat(f"w{number}", "http://w", {})) for number in range(40)]
        await asyncio.sleep(0)  # they have begun to wait
        for _ in range(3):
            assert await registry.models() == []
    await asyncio.gather(*waiting)
    assert len(await registry.replicas()) == 40
    await database.close()
    await other.close()
