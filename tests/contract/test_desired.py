"""Which versions workers load: what is named, what stands in, and nothing that failed."""

import asyncio

import pytest

from storage.errors import VersionInUse
from storage.registry import Registry
from storage.views import PassedTrial
from tests.contract.manifests import manifest


async def desired(registry: Registry) -> list[tuple[str, int]]:
    return [(version.model, version.number) for version in await registry.list_desired()]


async def test_workers_load_what_an_alias_or_a_route_names_and_nothing_else(three: Registry) -> None:
    await three.publish(manifest("other", name="another"))
    assert await desired(three) == [("another", 1), ("digits", 1)]
    await three.promote("digits", 2, alias="candidate")
    await three.set_route("digits", {"stable": 1.0, "3": 0.0})
    assert await desired(three) == [("another", 1), ("digits", 1), ("digits", 2), ("digits", 3)]
    await three.set_route("digits", None)
    assert await desired(three) == [("another", 1), ("digits", 1), ("digits", 2)]
    version = (await three.list_desired())[2]
    assert (version.digest, version.manifest) == (manifest("second").digest, manifest("second"))


async def test_workers_load_nothing_of_a_disabled_model(three: Registry) -> None:
    await three.set_enabled("digits", False)
    assert await desired(three) == []
    assert not (await three.model("digits")).enabled
    await three.set_enabled("digits", True)
    assert await desired(three) == [("digits", 1)]


async def test_a_failed_version_is_not_loaded_until_it_is_retried(three: Registry) -> None:
    version = (await three.list_desired())[0]
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


async def test_until_a_promoted_version_has_been_loaded_once_the_newest_one_that_has_stands_in(
    three: Registry, other: Registry
) -> None:
    versions = (await three.model("digits")).versions
    await three.remember_trial(versions[0].digest, "ort 1.32", "x86")
    for number in (2, 3):
        await three.promote("digits", number)
    assert await desired(three) == [("digits", 1), ("digits", 3)]
    with pytest.raises(VersionInUse, match=r"standing in for a version that failed or has not been loaded yet"):
        await three.remove("digits", 1)
    await other.remember_trial(versions[2].digest, "ort 1.32", "x86")
    assert await desired(three) == [("digits", 3)]
    await three.remove("digits", 1)


async def test_a_version_removed_meanwhile_cannot_fail(three: Registry) -> None:
    version = (await three.model("digits")).versions[2]
    await three.remove("digits", 3)
    await three.mark_failed(version.id, "too late")
    assert (await three.events("digits", limit=1))[0].kind == "removed"


async def test_a_trial_counts_for_its_artifact_runtime_and_processor_only(registry: Registry, other: Registry) -> None:
    digest = manifest().digest
    await asyncio.gather(*(each.remember_trial(digest, "ort 1.32", "x86") for each in (registry, other) * 3))
    assert await registry.find_passed_trial(digest, "ort 1.32", "x86") == PassedTrial(None)
    assert await registry.find_passed_trial(digest, "ort 1.33", "x86") is None
    assert await registry.find_passed_trial(digest, "ort 1.32", "arm") is None
    assert await registry.find_passed_trial("0" * 64, "ort 1.32", "x86") is None


async def test_what_a_trial_found_out_about_rows_is_remembered(registry: Registry, other: Registry) -> None:
    await registry.remember_trial("f" * 64, "ort 1.32", "x86", "output 'y'\0 is off by 3")
    assert await other.find_passed_trial("f" * 64, "ort 1.32", "x86") == PassedTrial("output 'y' is off by 3")
