"""Garbage collection: deletes what the artifact store holds and no version needs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storage.artifacts import ArtifactStore
from storage.errors import StorageError
from storage.registry import Registry
from storage.stored_files import StoredFile


@dataclass(frozen=True, slots=True)
class Garbage:
    """What was deleted: files, and how many uploads that broke off."""

    files: list[StoredFile]
    uploads: int


async def collect(registry: Registry, store: ArtifactStore, *, older_than: timedelta, dry_run: bool = False) -> Garbage:
    """Delete the files that no version's manifest names and nobody has put for `older_than`; `dry_run` only looks.

    Uploads precede their publication, and putting a file again makes it young: `older_than` is how long one may take.
    A publication that takes longer is refused for the files that it lacks by then; no version loses one.

    Raises Unavailable, NotMigrated, and StorageError where the registry names no file at all.
    """
    before = datetime.now(UTC) - older_than
    known = await registry.files_in_use()
    if not known:
        raise StorageError(
            "the registry has no versions, so that all files would go: is this the store's own registry?"
        )
    garbage = []
    async for file in store.files():
        if file.sha256 in known or file.put_at >= before:
            continue
        if not dry_run:
            # The store is asked between two transactions, not within one: heartbeats may wait for those.
            if (deletion := await registry.begin_deletion(file.sha256)) is None:
                continue
            await store.delete(file.sha256)
            await registry.end_deletion(deletion)
        garbage.append(file)
    if not dry_run:
        await registry.forget_deletions()
    return Garbage(garbage, await store.discard_uploads(before, dry_run=dry_run))
