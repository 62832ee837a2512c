"""How publications and deletions of files keep out of each other's way, without waiting for the artifact store.

A deletion is written down before the file goes, in a transaction that finds no version naming it, and finished in
another one afterwards. A publication looks for its files first, and in its own transaction then for deletions that it
did not know as finished when it looked. Whichever comes first, no version lacks a file.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, func, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.errors import MissingFile
from storage.manifest import Manifest
from storage.tables import Deletion, Moment

# No deletion takes so long: the process that began it was killed.
ABANDONED_AFTER: Final = timedelta(hours=1)
# No publication takes so long between its look at the store and its transaction.
FORGOTTEN_AFTER: Final = timedelta(days=2)


async def begin(session: AsyncSession, sha256: str) -> int:
    """Write down that the file is about to be deleted: what to hand to `finish`."""
    session.add(deletion := Deletion(sha256=sha256))
    await session.flush()
    return deletion.id


async def finish(session: AsyncSession, id_: int) -> None:
    """Write down that the file is gone."""
    await session.execute(update(Deletion).where(Deletion.id == id_).values(finished=True))


async def find_finished(session: AsyncSession, manifest: Manifest) -> set[int]:
    """The deletions of the manifest's files that are over: what is in the store now was put there since."""
    of_these = select(Deletion.id).where(Deletion.sha256.in_(_files(manifest)), Deletion.finished)
    return set(await session.scalars(of_these))


async def check_none_since(session: AsyncSession, manifest: Manifest, known: Collection[int]) -> None:
    """Raises MissingFile where a file was deleted, or may have been, since the deletions `known` were finished."""
    rows = select(Deletion).where(Deletion.sha256.in_(_files(manifest)), Deletion.id.not_in(known))
    now = await _now(session)
    gone = {row.sha256 for row in await session.scalars(rows) if row.finished or row.began_at > now - ABANDONED_AFTER}
    if gone:
        named = ", ".join(f"{file.path} ({file.sha256})" for file in manifest.files if file.sha256 in gone)
        raise MissingFile(f"deleted just now, as no version needed them: upload these files again: {named}")


async def forget_old(session: AsyncSession) -> None:
    """Drop deletions that are older than any publication under way."""
    await session.execute(delete(Deletion).where(Deletion.began_at < await _now(session) - FORGOTTEN_AFTER))


async def _now(session: AsyncSession) -> datetime:
    """By the database's clock, which wrote the times that this is compared with."""
    return (await session.execute(select(type_coerce(func.now(), Moment)))).scalar_one()


def _files(manifest: Manifest) -> list[str]:
    return [file.sha256 for file in manifest.files]
