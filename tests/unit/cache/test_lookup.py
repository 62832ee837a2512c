"""What a lookup tells whoever traces it."""

import asyncio

from cache.lookup import Lookup
from cache.store import Entry
from tests.unit.cache.test_response_cache import KEY, Model, Shared, get_or_compute, make_cache, settle


async def test_a_miss_was_decided_once_the_shared_store_had_answered_and_before_it_was_computed() -> None:
    cache, model, lookup = make_cache(Shared()), Model(), Lookup("me")
    asking = asyncio.create_task(get_or_compute(cache, KEY, 60, model, lookup))
    await settle()
    assert model.started == 1
    assert (lookup.outcome, lookup.store, lookup.joined, lookup.waited) == ("miss", None, None, False)
    assert lookup.asked is not None
    assert lookup.answered is not None
    assert lookup.decided is not None
    assert lookup.asked <= lookup.answered <= lookup.decided
    model.go.set()
    await asking


async def test_a_hit_names_the_store_that_it_was_found_in() -> None:
    shared = Shared()
    shared.entries[KEY] = Entry(b"value", 60)
    cache, far = make_cache(shared), Lookup("me")
    await get_or_compute(cache, KEY, 60, Model(), far)
    assert (far.outcome, far.store) == ("hit", "shared")


async def test_who_joins_learns_whose_computation_it_is() -> None:
    cache, model, first, second = make_cache(), Model(), Lookup("first"), Lookup("second")
    asking = [asyncio.create_task(get_or_compute(cache, KEY, 60, model, lookup)) for lookup in (first, second)]
    await settle()
    model.go.set()
    await asyncio.gather(*asking)
    assert (first.outcome, first.joined) == ("miss", None)
    assert (second.outcome, second.joined, second.asked) == ("join", "first", None)


async def test_who_joins_one_that_nobody_traces_learns_nothing() -> None:
    cache, model, lookup = make_cache(), Model(), Lookup("me")
    asking = [asyncio.create_task(get_or_compute(cache, KEY, 60, model, each)) for each in (None, lookup)]
    await settle()
    model.go.set()
    await asyncio.gather(*asking)
    assert (lookup.outcome, lookup.joined) == ("join", None)


async def test_that_another_process_was_waited_for_is_told() -> None:
    shared = Shared()
    shared.leased.add(KEY)
    cache, lookup = make_cache(shared), Lookup("me")
    asking = asyncio.create_task(get_or_compute(cache, KEY, 60, Model(), lookup))
    await shared.asked_thrice.wait()
    shared.leased.discard(KEY)
    shared.entries[KEY] = Entry(b"value", 60)
    await asking
    assert (lookup.outcome, lookup.store, lookup.waited) == ("hit", "shared", True)


async def test_a_lookup_that_was_given_up_has_no_outcome() -> None:
    shared = Shared()
    shared.leased.add(KEY)
    cache, lookup = make_cache(shared), Lookup("me")
    asking = asyncio.create_task(get_or_compute(cache, KEY, 60, Model(), lookup))
    await shared.asked_thrice.wait()
    asking.cancel()
    await asyncio.wait([asking])
    assert (lookup.outcome, lookup.decided, lookup.answered) == (None, None, None)
    assert lookup.asked is not None
