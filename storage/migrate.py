"""Brings a database's tables up to date: `python -m storage.migrate [upgrade | check | revision MESSAGE]`.

The only module that imports Alembic, which the gateway's image does not hold.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, event, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import PATIENCE_S, Database
from storage.errors import Drift, StorageError
from storage.settings import StorageSettings
from storage.tables import Row

LOCK = 0x68656164  # any number will do, as long as nobody else's advisory lock has it
SCRIPTS = Path(__file__).parent / "migrations"


def _config(connection: Connection, scripts: Path = SCRIPTS) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def _alone(connection: AsyncConnection) -> None:
    """Wait until no other process migrates this database; SQLite's BEGIN IMMEDIATE has done so already."""
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


async def upgrade(url: str, scripts: Path = SCRIPTS) -> None:
    """Create the tables at `url`, or bring them up to date, all in one transaction, by the migrations in `scripts`.

    Processes that start at once may all call it: one migrates, the others wait and find nothing to do. Raises Drift,
    and changes nothing, where a migration would leave rows that refer to nothing.
    """
    database = Database.open(url, timeout_s=PATIENCE_S)
    if database.engine.dialect.name == "sqlite":
        event.listen(database.engine.sync_engine, "connect", _leave_foreign_keys)
    try:
        async with database.engine.begin() as connection:
            await _alone(connection)
            await connection.run_sync(_upgrade, scripts)
            await connection.run_sync(_check_foreign_keys)
    finally:
        await database.close()


def _upgrade(connection: Connection, scripts: Path) -> None:
    try:
        command.upgrade(_config(connection, scripts), "head")
    except CommandError as error:  # a revision that is not among the scripts
        raise Drift(
            f"this database is of another version of headrace ({error}): use that one, or begin with a new database"
        ) from error


def _leave_foreign_keys(connection: Any, _: object) -> None:
    # SQLite alters a table by copying it and dropping the old one, which would take all rows that refer to it along.
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.close()


def _check_foreign_keys(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    if broken := {str(row[0]) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}:
        raise Drift(
            f"a migration leaves rows of {', '.join(sorted(broken))} that refer to nothing: nothing was changed"
        )


async def check_drift(url: str) -> None:
    """Raise Drift unless the tables at `url` are at the latest revision and are what `tables.py` describes."""
    database = Database.open(url)
    try:
        async with database.engine.connect() as connection:
            await connection.run_sync(_check)
    finally:
        await database.close()


def _check(connection: Connection) -> None:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    latest = ScriptDirectory.from_config(_config(connection)).get_current_head()
    if (current := context.get_current_revision()) != latest:
        raise Drift(f"the database is at revision {current}, not {latest}: run `python -m storage.migrate`")
    if differences := compare_metadata(context, Row.metadata):
        listed = "\n".join(f"  {difference}" for difference in differences)
        raise Drift(f"tables.py and the migrations differ: run `python -m storage.migrate revision MESSAGE`\n{listed}")


async def write_revision(url: str, message: str) -> None:
    """Write a migration from the up-to-date database at `url` to what `tables.py` describes."""
    database = Database.open(url)
    try:
        async with database.engine.connect() as connection:
            await connection.run_sync(lambda bound: command.revision(_config(bound), message, autogenerate=True))
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m storage.migrate", description=__doc__)
    actions = parser.add_subparsers(dest="action")
    actions.add_parser("upgrade", help="create the tables or bring them up to date (the default)")
    actions.add_parser("check", help="fail unless the database, the migrations and tables.py agree")
    actions.add_parser("revision", help="write a migration for what changed in tables.py").add_argument("message")
    arguments = parser.parse_args()
    url = StorageSettings(_secrets_dir=os.environ.get("HEADRACE_SECRETS_DIR")).database_url
    try:
        match arguments.action:
            case "check":
                asyncio.run(check_drift(url))
            case "revision":
                asyncio.run(write_revision(url, arguments.message))
            case _:
                asyncio.run(upgrade(url))
    except StorageError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
