"""What the registry guarantees of aliases, routes and removals, on SQLite and on a real PostgreSQL."""

import asyncio
from contextlib import suppress

import pytest

from storage.errors import (
    AliasInUse,
    InvalidRoute,
    NothingToRollBackTo,
    StorageError,
    UnknownAlias,
    UnknownModel,
    UnknownVersion,
    VersionInUse,
)
from storage.registry import Registry
from tests.contract.manifests import manifest

# Promoting and rolling back


async def test_promotions_at_once_lose_no_history(registry: Registry, other: Registry) -> None:
    for i in range(9):
        await registry.publish(manifest(f"version {i}"))
    both = (registry, other)
    await asyncio.gather(*(both[number % 2].promote("digits", number) for number in range(2, 10)))
    model = await registry.model("digits")
    assert sorted([model.aliases["stable"], *model.history["stable"]]) == list(range(1, 10))


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


# Removing aliases


async def test_an_alias_is_removed_and_its_version_stays_until_it_is_removed_too(three: Registry) -> None:
    for number in (2, 3):
        await three.promote("digits", number, alias="candidate")
    await three.remove_alias("digits", "candidate", actor="ada")
    model = await three.model("digits")
    assert (model.aliases, len(model.versions)) == ({"stable": 1}, 3)
    latest = (await three.events("digits"))[0]
    assert (latest.kind, latest.actor, latest.data) == ("alias-removed", "ada", {"alias": "candidate", "number": 3})
    assert [desired.number for desired in await three.list_desired()] == [1]
    await three.remove("digits", 3)
    await three.promote("digits", 2, alias="candidate")
    assert (await three.model("digits")).history["candidate"] == ()  # nothing is remembered of the one before


async def test_an_alias_that_requests_need_is_not_removed(three: Registry) -> None:
    await three.promote("digits", 2, alias="candidate")
    await three.set_route("digits", {"stable": 9, "candidate": 1})
    before, events = await three.model("digits"), await three.events()
    with pytest.raises(AliasInUse, match=r"'candidate' of 'digits' has a share of the route: end the sharing first"):
        await three.remove_alias("digits", "candidate")
    routes: list[dict[str, float] | None] = [{"stable": 9, "candidate": 1}, {"2": 1}, None]
    for weights in routes:  # one that names other versions may end, or they may not load
        await three.set_route("digits", weights)
        with pytest.raises(AliasInUse, match="'stable' of 'digits' stays, as requests that name no version"):
            await three.remove_alias("digits", "stable")
    assert (await three.model("digits")).aliases == before.aliases
    assert {event.kind for event in (await three.events())[: -len(events)]} == {"routed"}
    await three.remove_alias("digits", "candidate")


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


async def test_true_is_no_version(three: Registry) -> None:
    for asking in (three.promote("digits", True), three.remove("digits", True), three.retry("digits", True)):
        with pytest.raises(UnknownVersion, match="True is no version"):
            await asking


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
    with pytest.raises(UnknownAlias, match="no alias 'candidate' of 'digits'; it has stable"):
        await three.remove_alias("digits", "candidate")


@pytest.mark.parametrize("name", ["nobody", "nul\0", "x" * 300, ""])
async def test_a_model_that_is_not_there_is_refused_with_those_that_are(three: Registry, name: str) -> None:
    for asking in (
        three.model(name),
        three.promote(name, 1),
        three.rollback(name),
        three.remove_alias(name, "candidate"),
        three.set_route(name, None),
        three.set_enabled(name, True),
        three.remove(name),
        three.retry(name, 1),
    ):
        with pytest.raises(UnknownModel, match=r"there is digits"):
            await asking
    assert await three.events(name) == []


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
