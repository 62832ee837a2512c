"""Migrations make the tables that the code describes, on both databases, however many processes start at once."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.errors import Drift
from storage.manifest import FileEntry, Manifest, TensorSpec
from storage.migrate import SCRIPTS, check_drift, upgrade
from storage.registry import Registry
from tests.servers import create_database


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return await create_database(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/100%/registry.db"


async def run(url: str, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "storage.migrate",
        *arguments,
        env={"HEADRACE_DATABASE_URL": url},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    return process.returncode, errors.decode()


async def test_the_migrations_make_what_the_tables_describe(url: str) -> None:
    await upgrade(url)
    await check_drift(url)


async def test_an_upgrade_of_an_up_to_date_database_changes_nothing(url: str) -> None:
    await upgrade(url)
    database = Database.open(url)
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
    file = FileEntry(path="m.onnx", sha256="0" * 64, size=1)
    manifest = Manifest(name="m", model="m.onnx", inputs=(tensor,), outputs=(tensor,), files=(file,))
    published = await Registry(database).publish(manifest)
    await upgrade(url)
    assert (await Registry(database).model("m")).versions == (published,)
    await database.close()


def scripts_with(folder: Path, change: str) -> Path:
    """Our migrations and one more, which does `change`."""
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "r0004_later.py").write_text(
        f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0004", "0003", None, None


def upgrade() -> None:
    {change}
"""
    )
    return folder


async def test_a_migration_that_alters_a_table_keeps_the_rows_that_refer_to_it(url: str, tmp_path: Path) -> None:
    await upgrade(url)
    database = Database.open(url)
    registry = Registry(database)
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
    file = FileEntry(path="m.onnx", sha256="0" * 64, size=1)
    await registry.publish(Manifest(name="m", model="m.onnx", inputs=(tensor,), outputs=(tensor,), files=(file,)))
    await registry.set_route("m", {"stable": 1.0})
    before = await registry.model("m")
    await database.close()
    change = 'with op.batch_alter_table("models") as batch: batch.alter_column("name", type_=sa.String(200))'
    await upgrade(url, scripts_with(tmp_path / "scripts", change))
    database = Database.open(url)
    assert await Registry(database).model("m") == before
    assert len((await Registry(database).model("m")).versions) == 1
    # And what refers to it is held to it again.
    await Registry(database).remove("m")
    async with database.session() as session:
        assert (await session.scalar(text("SELECT count(*) FROM versions"))) == 0
    await database.close()


async def test_a_migration_that_leaves_rows_without_what_they_refer_to_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    await upgrade(url)
    change = "op.execute(\"INSERT INTO aliases VALUES (7, 'stable', 1, '[]')\")"
    with pytest.raises(Drift, match="rows of aliases that refer to nothing"):
        await upgrade(url, scripts_with(tmp_path / "scripts", change))
    database = Database.open(url)
    async with database.session() as session:
        assert (await session.scalar(text("SELECT count(*) FROM aliases"))) == 0
        assert (await session.scalar(text("SELECT version_num FROM alembic_version"))) == "0003"
    await database.close()


async def test_a_database_that_was_not_migrated_has_drifted(url: str) -> None:
    with pytest.raises(Drift, match=r"revision None, not .*: run `python -m storage.migrate`"):
        await check_drift(url)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("ALTER TABLE versions DROP COLUMN failure", "failure"),
        ("ALTER TABLE versions ADD COLUMN extra INTEGER", "extra"),
        ("DROP TABLE trials", "trials"),
        ("DROP INDEX ix_events_model", "ix_events_model"),
    ],
)
async def test_a_table_that_differs_from_the_code_is_found(url: str, change: str, found: str) -> None:
    await upgrade(url)
    database = Database.open(url)
    async with database.session() as session:
        await session.execute(text(change))
    await database.close()
    with pytest.raises(Drift, match=found):
        await check_drift(url)


async def test_upgrades_at_once_take_turns(url: str) -> None:
    await asyncio.gather(*(upgrade(url) for _ in range(4)))
    await check_drift(url)


async def test_processes_that_upgrade_at_once_all_succeed(url: str) -> None:
    results = await asyncio.gather(*(run(url) for _ in range(3)))
    assert results == [(0, "")] * 3
    await check_drift(url)


async def test_the_command_fails_where_database_and_code_differ(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    code, errors = await run(url, "check")
    assert code == 1
    assert errors.startswith("error: the database is at revision None")
    await upgrade(url)
    assert await run(url, "check") == (0, "")


async def test_a_database_of_another_version_is_left_alone_and_told_of(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    await upgrade(url)
    database = Database.open(url)
    async with database.session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Drift, match=r"another version of headrace.*9999"):
        await upgrade(url)
    async with database.session() as session:
        assert (await session.scalar(text("SELECT version_num FROM alembic_version"))) == "9999"
    await database.close()
