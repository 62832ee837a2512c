"""What becomes a version of the registry's, and what is refused: its files, its names, its paths."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from storage.database import Database
from storage.errors import InvalidAlias, InvalidArtifact, MissingFile
from storage.manifest import Manifest
from storage.model_name import RESERVED
from storage.registry import Registry
from storage.tables import Deletion
from tests.contract.manifests import manifest


async def test_versions_are_numbered_from_one_and_read_back_as_published(registry: Registry) -> None:
    first = await registry.publish(manifest("first"), actor="ada")
    second = await registry.publish(manifest("second"))
    assert (first.number, second.number) == (1, 2)
    assert second.digest == manifest("second").digest
    model = await registry.model("digits")
    assert model.versions == (first, second)
    assert model.versions[1].manifest == manifest("second")
    assert model.versions[0].created_at.tzinfo is not None


async def test_another_process_reads_the_same_manifest(registry: Registry, other: Registry) -> None:
    published = await registry.publish(manifest())
    assert (await other.model("digits")).versions == (published,)


async def test_only_the_first_version_becomes_stable_by_itself(registry: Registry) -> None:
    await registry.publish(manifest("first"))
    await registry.publish(manifest("second"))
    assert (await registry.model("digits")).aliases == {"stable": 1}


async def test_a_named_alias_replaces_the_automatic_one(registry: Registry) -> None:
    await registry.publish(manifest(), alias="candidate")
    assert (await registry.model("digits")).aliases == {"candidate": 1}


async def test_publishing_the_same_manifest_again_gives_the_version_it_is_and_moves_the_alias(
    registry: Registry,
) -> None:
    first = await registry.publish(manifest("first"))
    await registry.publish(manifest("second"), alias="stable")
    assert await registry.publish(manifest("first"), alias="stable") == first
    model = await registry.model("digits")
    assert [version.number for version in model.versions] == [1, 2]
    assert model.aliases == {"stable": 1}


async def test_the_same_manifest_published_twice_at_once_is_one_version(registry: Registry, other: Registry) -> None:
    views = await asyncio.gather(*(each.publish(manifest()) for each in (registry, other) * 4))
    assert {view.number for view in views} == {1}
    assert len((await registry.model("digits")).versions) == 1


async def test_publishers_at_once_each_get_a_number_of_their_own(registry: Registry, other: Registry) -> None:
    both = (registry, other)
    views = await asyncio.gather(*(both[i % 2].publish(manifest(f"version {i}")) for i in range(12)))
    assert sorted(view.number for view in views) == list(range(1, 13))
    assert len({view.id for view in views}) == 12


@pytest.mark.parametrize("alias", ["", "7", "a b", "a" * 65, "../x", "nul\0"])
async def test_an_alias_that_could_be_taken_for_something_else_is_refused_and_nothing_is_published(
    registry: Registry, alias: str
) -> None:
    await registry.publish(manifest("first"))
    with pytest.raises(InvalidAlias, match="is no alias"):
        await registry.publish(manifest("second"), alias=alias)
    assert len((await registry.model("digits")).versions) == 1


async def test_a_version_whose_files_are_not_there_is_not_published(registry: Registry) -> None:
    async def has(sha256: str) -> bool:
        return sha256 != "ab" * 32

    with pytest.raises(MissingFile, match=r"upload these files first.*: model\.onnx \(abab"):
        await registry.publish(manifest(), has=has)
    assert await registry.models() == []
    assert await registry.events() == []


async def test_a_slow_artifact_store_delays_its_publisher_alone(registry: Registry, other: Registry) -> None:
    async def has(sha256: str) -> bool:
        # While the store is asked, others write: on SQLite they would wait for a transaction that is open here.
        async with asyncio.timeout(30):
            await other.beat("w1", "http://w1", {})
            await other.publish(manifest(name="quick"))
        return True

    await registry.publish(manifest(), has=has)
    assert [model.name for model in await registry.models()] == ["digits", "quick"]


async def test_a_file_that_is_deleted_after_it_was_seen_is_not_published(registry: Registry, other: Registry) -> None:
    for finished in (False, True):

        async def has(sha256: str, finished: bool = finished) -> bool:
            deletion = await other.begin_deletion(sha256)
            assert deletion is not None
            if finished:
                await other.end_deletion(deletion)
            return True  # as it was, when it was looked at

        with pytest.raises(MissingFile, match=r"upload these files again: model\.onnx \(abab"):
            await registry.publish(manifest(), has=has)
    assert await registry.models() == []


async def test_a_file_that_was_put_again_after_its_deletion_is_published(registry: Registry, other: Registry) -> None:
    async def has(sha256: str) -> bool:
        return True

    deletion = await other.begin_deletion("ab" * 32)
    assert deletion is not None
    with pytest.raises(MissingFile, match="upload these files again"):  # it may still be going
        await registry.publish(manifest(), has=has)
    await other.end_deletion(deletion)
    await registry.publish(manifest(), has=has)
    assert await other.begin_deletion("ab" * 32) is None, "a version names it"
    assert await other.files_in_use() == {"ab" * 32}


async def test_a_deletion_whose_process_was_killed_is_no_obstacle_for_ever(
    registry: Registry, database: Database
) -> None:
    async def has(sha256: str) -> bool:
        return True

    await registry.begin_deletion("ab" * 32)
    async with database.session() as session:
        await session.execute(update(Deletion).values(began_at=datetime.now(UTC) - timedelta(hours=2)))
    await registry.publish(manifest(), has=has)


async def test_deletions_that_are_long_over_are_forgotten(registry: Registry, database: Database) -> None:
    for sha256 in ("cd" * 32, "ef" * 32):
        await registry.begin_deletion(sha256)
    async with database.session() as session:
        old = update(Deletion).where(Deletion.sha256 == "cd" * 32)
        await session.execute(old.values(began_at=datetime.now(UTC) - timedelta(days=3)))
    await registry.forget_deletions()
    async with database.session(read_only=True) as session:
        assert list(await session.scalars(select(Deletion.sha256))) == ["ef" * 32]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        *(({"name": name}, rf"no model can be called '{name}'.*name it otherwise") for name in sorted(RESERVED)),
        (
            {"files": [{"path": "a\nb", "sha256": "ab" * 32, "size": 1}]},
            r"'a\\nb' has characters that cannot be printed",
        ),
        ({"files": [{"path": "ä" * 128, "sha256": "ab" * 32, "size": 1}]}, "more than 255 bytes"),
        ({"files": [{"path": "a/" * 127 + "ab", "sha256": "ab" * 32, "size": 1}]}, "more than 255 bytes"),
        ({"inputs": [manifest().inputs[0].model_dump()] * 2}, "two inputs have the same name: x, x"),
    ],
)
async def test_what_no_path_or_folder_can_hold_is_not_published(
    registry: Registry, fields: dict[str, Any], match: str
) -> None:
    described = manifest().model_dump()
    files = [*described["files"], *fields.get("files", [])]
    with pytest.raises(InvalidArtifact, match=match):
        await registry.publish(Manifest.model_validate({**described, **fields, "files": files}))
    assert await registry.models() == []
