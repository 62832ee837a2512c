"""Deletes what no version needs from the artifact store: `python -m storage.prune [--dry-run] [--older-than HOURS]`.

A store belongs to one registry: what another one's versions need would be deleted too.
"""

import argparse
import asyncio
import os
import sys
from datetime import timedelta

from storage.artifacts import open_store
from storage.collect import Garbage, collect
from storage.database import PATIENCE_S, Database
from storage.errors import StorageError
from storage.registry import Registry
from storage.settings import StorageSettings

MOST_HOURS = 100 * 365 * 24  # no file is a hundred years old


async def prune(settings: StorageSettings, older_than: timedelta, *, dry_run: bool) -> Garbage:
    """Collect the garbage of the store in the settings, by the registry in the settings. Raises StorageError."""
    store = open_store(settings.artifacts_url)
    database = Database.open(settings.database_url, patience_s=PATIENCE_S)
    try:
        return await collect(Registry(database), store, older_than=older_than, dry_run=dry_run)
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m storage.prune", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted, and delete nothing")
    parser.add_argument(
        "--older-than",
        type=_hours,
        default=timedelta(hours=24),
        metavar="HOURS",
        help="leave what is younger: it may be about to be published (24)",
    )
    options = parser.parse_args()
    try:
        garbage = asyncio.run(
            prune(
                StorageSettings(_secrets_dir=os.environ.get("HEADRACE_SECRETS_DIR")),
                options.older_than,
                dry_run=options.dry_run,
            )
        )
    except StorageError as error:
        sys.exit(f"error: {error}")
    for file in garbage.files:
        print(f"{file.sha256}  {file.size:>14,} bytes  put {file.put_at:%Y-%m-%d %H:%M} UTC")
    total = sum(file.size for file in garbage.files)
    print(
        f"{'would delete' if options.dry_run else 'deleted'} {len(garbage.files)} files ({total:,} bytes)"
        f" and {garbage.uploads} uploads that broke off"
    )


def _hours(text: str) -> timedelta:
    hours = float(text)
    if not 0 <= hours <= MOST_HOURS:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {MOST_HOURS} hours")
    return timedelta(hours=hours)


if __name__ == "__main__":
    main()
