"""What garbage collection deletes, and what it never does, in a folder and in a bucket."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from storage.artifacts import ArtifactStore
from storage.collect import collect
from storage.database import Database
from storage.errors import MissingFile, StorageError, Unavailable
from storage.manifest import FileEntry, Manifest, TensorSpec
from storage.migrate import upgrade
from storage.registry import Registry
from tests.contract.stores import Store, pieces

# To be older than NOW a file must have been put before a moment that is still to come: all of them are.
NOW, DAY = timedelta(seconds=-5), timedelta(days=1)
SERVED, UNUSED = b"served", b"unused"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest_of(content: bytes, name: str = "m") -> Manifest:
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
    file = FileEntry(path="m.onnx", sha256=sha256(content), size=len(content))
    return Manifest(name=name, model="m.onnx", inputs=(tensor,), outputs=(tensor,), files=(file,))


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    url = f"sqlite:///{tmp_path}/registry.db"
    await upgrade(url)
    database = Database.open(url)
    yield Registry(database)
    await database.close()


@pytest.fixture
async def store(either: Store, registry: Registry) -> ArtifactStore:
    """Holds a file that a version needs and one that none does."""
    for content in (SERVED, UNUSED):
        await either.store.put(pieces(content))
    await registry.publish(manifest_of(SERVED), has=either.store.has)
    return either.store


async def held(store: ArtifactStore) -> set[str]:
    return {file.sha256 async for file in store.files()}


async def test_what_no_version_names_is_deleted_and_what_one_names_stays(
    registry: Registry, store: ArtifactStore
) -> None:
    garbage = await collect(registry, store, older_than=NOW)
    assert [(file.sha256, file.size) for file in garbage.files] == [(sha256(UNUSED), len(UNUSED))]
    assert await held(store) == {sha256(SERVED)}


async def test_what_was_put_lately_stays_as_it_may_be_about_to_be_published(
    registry: Registry, store: ArtifactStore
) -> None:
    garbage = await collect(registry, store, older_than=DAY)
    assert garbage.files == []
    assert await held(store) == {sha256(SERVED), sha256(UNUSED)}


async def test_a_dry_run_tells_what_would_go_and_deletes_nothing(registry: Registry, store: ArtifactStore) -> None:
    told = await collect(registry, store, older_than=NOW, dry_run=True)
    assert [file.sha256 for file in told.files] == [sha256(UNUSED)]
    assert await held(store) == {sha256(SERVED), sha256(UNUSED)}
    assert await collect(registry, store, older_than=NOW) == told


async def test_a_removed_versions_files_go_unless_another_version_shares_them(
    registry: Registry, store: ArtifactStore
) -> None:
    await registry.publish(manifest_of(SERVED, "shares"))
    await registry.publish(manifest_of(UNUSED, "goes"))
    await registry.remove("goes")
    await registry.remove("m")
    await collect(registry, store, older_than=NOW)
    assert await held(store) == {sha256(SERVED)}


async def test_versions_published_while_garbage_is_collected_have_their_files_or_are_refused(
    registry: Registry, store: ArtifactStore
) -> None:
    contents = [f"file {number}".encode() for number in range(30)]
    for content in contents:
        await store.put(pieces(content))
    published = []

    async def publish(content: bytes) -> None:
        with suppress(MissingFile):
            await registry.publish(manifest_of(content), has=store.has)
            published.append(sha256(content))

    await asyncio.gather(collect(registry, store, older_than=NOW), *map(publish, contents))
    assert await held(store) == {sha256(SERVED), *published}


async def test_a_slow_artifact_store_delays_the_collection_alone(registry: Registry, store: ArtifactStore) -> None:
    class Slow:
        """Within each deletion it has others write, who would wait for a transaction that is open meanwhile."""

        files, discard_uploads = store.files, store.discard_uploads

        async def delete(self, sha256: str) -> None:
            async with asyncio.timeout(30):
                await registry.beat("w1", "http://w1", {})
            await store.delete(sha256)

    await collect(registry, cast(ArtifactStore, Slow()), older_than=NOW)
    assert await held(store) == {sha256(SERVED)}


async def test_a_registry_without_versions_is_not_taken_for_the_stores_own(either: Store, registry: Registry) -> None:
    await either.store.put(pieces(UNUSED))
    with pytest.raises(StorageError, match="is this the store's own registry"):
        await collect(registry, either.store, older_than=NOW)
    assert await held(either.store) == {sha256(UNUSED)}


async def test_a_store_that_is_away_is_unavailable_not_clean(
    either: Store, registry: Registry, store: ArtifactStore
) -> None:
    either.take_away()
    with pytest.raises(Unavailable, match=either.url):
        await collect(registry, store, older_than=NOW)
