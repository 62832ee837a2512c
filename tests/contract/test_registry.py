"""What the registry guarantees, on SQLite and on a real PostgreSQL."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from storage.database import Database
from storage.errors import (
    InvalidAlias,
    InvalidRoute,
    MissingFile,
    NothingToRollBackTo,
    StorageError,
    UnknownAlias,
    UnknownModel,
    UnknownVersion,
    VersionInUse,
)
from storage.manifest import FileEntry, Manifest, TensorSpec
from storage.migrate import upgrade
from storage.registry import Registry
from storage.tables import Replica
from tests.servers import create_database

MIGRATED: dict[str, str] = {}  # what a test's database is copied from, migrated once: PostgreSQL's, SQLite's


def manifest(description: str = "first", name: str = "digits") -> Manifest:
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 64))
    file = FileEntry(path="model.onnx", sha256="ab" * 32, size=3)
    return Manifest(
        name=name, model="model.onnx", inputs=(tensor,), outputs=(tensor,), files=(file,), description=description
    )


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_url")
        if "postgresql" not in MIGRATED:
            template = await create_database(server)
            await upgrade(template)
            MIGRATED["postgresql"] = template.rsplit("/", 1)[1]
        return await create_database(server, MIGRATED["postgresql"])
    if "sqlite" not in MIGRATED:
        MIGRATED["sqlite"] = str(tmp_path_factory.mktemp("migrated") / "registry.db")
        await upgrade(f"sqlite:///{MIGRATED['sqlite']}")
    shutil.copy(MIGRATED["sqlite"], tmp_path / "registry.db")
    return f"sqlite:///{tmp_path}/registry.db"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database.open(url)
    yield database
    await database.close()


@pytest.fixture
async def registry(database: Database) -> Registry:
    return Registry(database)


@pytest.fixture
async def other(url: str) -> AsyncIterator[Registry]:
    """A registry as another process has it: connections and caches of its own."""
    database = Database.open(url)
    yield Registry(database)
    await database.close()


# Publishing


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


async def test_promotions_at_once_lose_no_history(registry: Registry, other: Registry) -> None:
    for i in range(9):
        await registry.publish(manifest(f"version {i}"))
    both = (registry, other)
    await asyncio.gather(*(both[number % 2].promote("digits", number) for number in range(2, 10)))
    model = await registry.model("digits")
    assert sorted([model.aliases["stable"], *model.history["stable"]]) == list(range(1, 10))


@pytest.mark.parametrize("alias", ["", "7", "a b", "a" * 65, "../x", "nul\0"])
async def test_an_alias_that_could_be_taken_for_something_else_is_refused_and_nothing_is_published(
    registry: Registry, alias: str
) -> None:
    await registry.publish(manifest("first"))
    with pytest.raises(InvalidAlias, match="is no alias"):
        await registry.publish(manifest("second"), alias=alias)
    assert len((await registry.model("digits")).versions) == 1


# Promoting and rolling back


@pytest.fixture
async def three(registry: Registry) -> Registry:
    for description in ("first", "second", "third"):
        await registry.publish(manifest(description))
    return registry


async def test_promoting_moves_the_alias_and_remembers_where_it_was(three: Registry) -> None:
    assert (await three.promote("digits", 2)).number == 2
    await three.promote("digits", 3)
    model = await three.model("digits")
    assert model.aliases == {"stable": 3}
    assert model.history == {"stable": (1, 2)}


async def test_an_alias_can_be_promoted_by_name(three: Registry) -> None:
    await three.promote("digits", 3, alias="candidate")
    assert (await three.promote("digits", "candidate")).number == 3
    assert (await three.model("digits")).aliases == {"candidate": 3, "stable": 3}


async def test_promoting_what_is_there_already_changes_nothing(three: Registry) -> None:
    await three.promote("digits", 2)
    before, events = await three.model("digits"), await three.events()
    await three.promote("digits", 2)
    assert (await three.model("digits"), await three.events()) == (before, events)


async def test_each_rollback_goes_one_further_back(three: Registry) -> None:
    await three.promote("digits", 2)
    await three.promote("digits", 3)
    assert [(await three.rollback("digits")).number for _ in range(2)] == [2, 1]
    with pytest.raises(NothingToRollBackTo, match="'stable' of 'digits' had no version before 1"):
        await three.rollback("digits")
    assert (await three.model("digits")).aliases == {"stable": 1}


async def test_a_promotion_after_a_rollback_can_be_rolled_back(three: Registry) -> None:
    await three.promote("digits", 2)
    await three.rollback("digits")
    await three.promote("digits", 3)
    assert (await three.rollback("digits")).number == 1


# Routes, loading, removing


async def test_a_route_maps_versions_and_aliases_to_shares_until_it_is_taken_away(three: Registry) -> None:
    await three.set_route("digits", {"stable": 0.9, "2": 0.1})
    assert (await three.model("digits")).weights == {"stable": 0.9, "2": 0.1}
    await three.set_route("digits", {"stable": 1})
    assert (await three.model("digits")).weights == {"stable": 1}
    await three.set_route("digits", None)
    assert (await three.model("digits")).weights is None


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ({}, InvalidRoute),
        ({"stable": 0.0}, InvalidRoute),
        ({"stable": 1.0, "2": -0.1}, InvalidRoute),
        ({"stable": float("nan")}, InvalidRoute),
        ({"stable": float("inf")}, InvalidRoute),
        ({"9": 1.0}, UnknownVersion),
        ({"nobody": 1.0}, UnknownAlias),
    ],
)
async def test_a_route_to_nowhere_is_refused(
    three: Registry, weights: dict[str, float], error: type[StorageError]
) -> None:
    with pytest.raises(error):
        await three.set_route("digits", weights)
    assert (await three.model("digits")).weights is None


async def test_a_version_that_something_names_is_not_removed(three: Registry) -> None:
    await three.set_route("digits", {"stable": 1.0, "2": 1.0})
    with pytest.raises(VersionInUse, match=r"version 1 .* \(alias stable, the route\)"):
        await three.remove("digits", 1)
    with pytest.raises(VersionInUse, match=r"version 2 .* \(the route\)"):
        await three.remove("digits", 2)
    assert len((await three.model("digits")).versions) == 3


async def test_a_removed_version_is_gone_from_the_history_and_its_number_and_id_never_return(three: Registry) -> None:
    removed = (await three.model("digits")).versions[2]
    await three.promote("digits", 3)
    await three.promote("digits", 2)
    await three.remove("digits", 3)
    model = await three.model("digits")
    assert [version.number for version in model.versions] == [1, 2]
    assert model.history == {"stable": (1,)}
    again = await three.publish(manifest("third"))
    assert again.number == 4
    assert again.id > removed.id


async def test_history_holds_no_rollback_that_changes_nothing(three: Registry) -> None:
    for number in (2, 1):
        await three.promote("digits", number)
    await three.remove("digits", 2)
    assert (await three.model("digits")).history == {"stable": ()}


async def test_removing_a_model_removes_all_but_its_events(three: Registry) -> None:
    await three.set_route("digits", {"stable": 1.0})
    old = (await three.model("digits")).versions
    await three.remove("digits", actor="ada")
    assert await three.models() == []
    latest, *earlier = await three.events("digits")
    assert (latest.kind, latest.actor) == ("removed", "ada")
    assert [event.kind for event in earlier].count("published") == 3
    again = await three.publish(manifest("first"))
    assert again.number == 4
    assert again.id > max(version.id for version in old)
    model = await three.model("digits")
    assert (model.weights, model.aliases) == (None, {"stable": 4})


async def test_a_name_that_comes_and_goes_in_many_processes_gives_each_number_once(
    registry: Registry, other: Registry
) -> None:
    both = (registry, other)

    async def publish_and_remove(number: int) -> int:
        published = await both[number % 2].publish(manifest(f"version {number}"))
        with suppress(UnknownModel):  # somebody else was faster
            await both[number % 2].remove("digits")
        return published.number

    numbers = await asyncio.gather(*map(publish_and_remove, range(12)))
    assert sorted(numbers) == list(range(1, 13))


async def test_a_version_whose_files_are_not_there_is_not_published(registry: Registry) -> None:
    async def has(sha256: str) -> bool:
        return sha256 != "ab" * 32

    with pytest.raises(MissingFile, match=r"upload these files first.*: model\.onnx \(abab"):
        await registry.publish(manifest(), has=has)
    assert await registry.models() == []
    assert await registry.events() == []


async def test_no_version_is_published_while_it_is_looked_up_which_files_are_in_use(
    registry: Registry, other: Registry
) -> None:
    looked_up = asyncio.Event()
    happened = []

    async def publish() -> None:
        await looked_up.wait()
        await other.publish(manifest())
        happened.append("published")

    publishing = asyncio.create_task(publish())
    async with registry.files_in_use() as used:
        assert used == set()
        looked_up.set()
        await asyncio.sleep(0.1)
        happened.append("looked up")
    await publishing
    assert happened == ["looked up", "published"]
    async with registry.files_in_use() as used:
        assert used == {"ab" * 32}


@pytest.mark.parametrize("number", [0, -1, 4, 2**40])
async def test_a_version_that_is_not_there_is_refused_with_those_that_are(three: Registry, number: int) -> None:
    for asking in (three.promote("digits", number), three.remove("digits", number), three.retry("digits", number)):
        with pytest.raises(UnknownVersion, match=f"no version {number} of 'digits'; it has 1, 2, 3"):
            await asking


async def test_an_alias_that_is_not_there_is_refused_with_those_that_are(three: Registry) -> None:
    with pytest.raises(UnknownAlias, match="no alias 'candidate' of 'digits'; it has stable"):
        await three.promote("digits", "candidate")
    with pytest.raises(UnknownAlias, match="no alias 'candidate'"):
        await three.rollback("digits", alias="candidate")


@pytest.mark.parametrize("name", ["nobody", "nul\0", "x" * 300, ""])
async def test_a_model_that_is_not_there_is_refused_with_those_that_are(three: Registry, name: str) -> None:
    for asking in (
        three.model(name),
        three.promote(name, 1),
        three.rollback(name),
        three.set_route(name, None),
        three.set_enabled(name, True),
        three.remove(name),
        three.retry(name, 1),
    ):
        with pytest.raises(UnknownModel, match=r"there is digits"):
            await asking
    assert await three.events(name) == []


# What workers load


async def desired(registry: Registry) -> list[tuple[str, int]]:
    return [(version.model, version.number) for version in await registry.desired()]


async def test_workers_load_what_an_alias_or_a_route_names_and_nothing_else(three: Registry) -> None:
    await three.publish(manifest("other", name="another"))
    assert await desired(three) == [("another", 1), ("digits", 1)]
    await three.promote("digits", 2, alias="candidate")
    await three.set_route("digits", {"stable": 1.0, "3": 0.0})
    assert await desired(three) == [("another", 1), ("digits", 1), ("digits", 2), ("digits", 3)]
    await three.set_route("digits", None)
    assert await desired(three) == [("another", 1), ("digits", 1), ("digits", 2)]
    version = (await three.desired())[2]
    assert (version.digest, version.manifest) == (manifest("second").digest, manifest("second"))


async def test_workers_load_nothing_of_a_disabled_model(three: Registry) -> None:
    await three.set_enabled("digits", False)
    assert await desired(three) == []
    assert not (await three.model("digits")).enabled
    await three.set_enabled("digits", True)
    assert await desired(three) == [("digits", 1)]


async def test_a_failed_version_is_not_loaded_until_it_is_retried(three: Registry) -> None:
    version = (await three.desired())[0]
    await three.mark_failed(version.version_id, "signal 11\0 in the graph")
    await three.mark_failed(version.version_id, "a second worker's reason")
    assert await desired(three) == []
    assert (await three.model("digits")).versions[0].failure == "signal 11 in the graph"
    assert (await three.retry("digits", 1)).failure is None
    assert await desired(three) == [("digits", 1)]
    assert [event.kind for event in await three.events("digits", limit=2)] == ["retried", "failed"]


async def test_while_a_promoted_version_has_failed_the_newest_sound_one_before_it_stands_in(three: Registry) -> None:
    for number in (2, 3):
        await three.promote("digits", number)
    versions = (await three.model("digits")).versions
    assert await desired(three) == [("digits", 3)]
    await three.mark_failed(versions[2].id, "bad graph")
    assert await desired(three) == [("digits", 2)]
    await three.mark_failed(versions[1].id, "bad graph too")
    assert await desired(three) == [("digits", 1)]
    with pytest.raises(VersionInUse):
        await three.remove("digits", 1)
    await three.retry("digits", 3)
    assert await desired(three) == [("digits", 3)]


async def test_a_version_removed_meanwhile_cannot_fail(three: Registry) -> None:
    version = (await three.model("digits")).versions[2]
    await three.remove("digits", 3)
    await three.mark_failed(version.id, "too late")
    assert (await three.events("digits", limit=1))[0].kind == "removed"


async def test_a_trial_counts_for_its_artifact_runtime_and_processor_only(registry: Registry, other: Registry) -> None:
    digest = manifest().digest
    await asyncio.gather(*(each.remember_trial(digest, "ort 1.32", "x86") for each in (registry, other) * 3))
    assert await registry.trial_passed(digest, "ort 1.32", "x86")
    assert not await registry.trial_passed(digest, "ort 1.33", "x86")
    assert not await registry.trial_passed(digest, "ort 1.32", "arm")
    assert not await registry.trial_passed("0" * 64, "ort 1.32", "x86")


# Replicas


async def test_each_heartbeat_counts_up_and_replaces_what_the_last_one_said(registry: Registry) -> None:
    await registry.beat("w1", "http://127.0.0.1:1", {"1": {"state": "loading", "reason": None}})
    await registry.beat("w2", "http://127.0.0.1:2", {})
    await registry.beat("w1", "http://127.0.0.1:3", {"1": {"state": "ready", "reason": None}}, draining=True)
    first, second = await registry.replicas()
    assert (first.id, first.url, first.beat, first.draining) == ("w1", "http://127.0.0.1:3", 2, True)
    assert first.versions == {"1": {"state": "ready", "reason": None}}
    assert (second.id, second.beat, second.draining, second.versions) == ("w2", 1, False, {})
    assert abs(datetime.now(UTC) - first.seen_at) < timedelta(hours=1)


async def test_a_forgotten_replica_is_gone_and_may_come_back(registry: Registry) -> None:
    await registry.beat("w1", "http://127.0.0.1:1", {})
    await registry.forget("w1")
    await registry.forget("w1")
    assert await registry.replicas() == []
    await registry.beat("w1", "http://127.0.0.1:1", {})
    assert [replica.id for replica in await registry.replicas()] == ["w1"]


async def test_only_replicas_without_a_recent_heartbeat_are_forgotten_as_stale(
    registry: Registry, database: Database
) -> None:
    for name in ("old", "new"):
        await registry.beat(name, f"http://{name}", {})
    async with database.session() as session:
        long_ago = datetime.now(UTC) - timedelta(hours=2)
        await session.execute(update(Replica).where(Replica.id == "old").values(seen_at=long_ago))
    await registry.forget_stale(3600)
    assert [replica.id for replica in await registry.replicas()] == ["new"]


# Reading


async def test_a_snapshot_is_what_models_and_replicas_say(three: Registry) -> None:
    await three.publish(manifest("other", name="another"))
    await three.beat("w1", "http://127.0.0.1:1", {})
    snapshot = await three.snapshot()
    assert (snapshot.models, snapshot.replicas) == (await three.models(), await three.replicas())
    assert [model.name for model in snapshot.models] == ["another", "digits"]


async def test_events_say_who_did_what_the_latest_first(registry: Registry) -> None:
    await registry.publish(manifest("first"), actor="ada")
    await registry.publish(manifest("other", name="another"), actor="bob")
    await registry.publish(manifest("second"), alias="stable", actor="eve\0" + "e" * 200)
    await registry.rollback("digits", actor="ada")
    events = await registry.events("digits")
    kinds = [(event.kind, event.data.get("number")) for event in events]
    assert kinds == [("rolled-back", 1), ("promoted", 2), ("published", 2), ("promoted", 1), ("published", 1)]
    assert [event.actor[:3] for event in events] == ["ada", "eve", "eve", "ada", "ada"]
    assert [event.kind for event in await registry.events(limit=1)] == ["rolled-back"]
    assert {event.model for event in await registry.events()} == {"digits", "another"}
