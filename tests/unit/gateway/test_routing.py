from collections import Counter
from dataclasses import replace

import pytest

from gateway.balancer import Replica
from gateway.routing import RouteTable, build_table
from storage.views import ModelView
from tests.unit.gateway.models import model
from wire.errors import ModelNotFound, ModelNotReady

HERE = (Replica.at("http://127.0.0.1:1"),)


def table(view: ModelView, *ready: int) -> RouteTable:
    return build_table([view], {number: HERE for number in ready})


def test_an_unversioned_request_goes_to_stable() -> None:
    routes = table(model(1, 2, aliases={"stable": 1, "candidate": 2}), 1, 2)
    assert routes.resolve("m", None).version == "1"


def test_a_version_is_named_by_number_or_by_alias() -> None:
    routes = table(model(1, 2, aliases={"stable": 1, "candidate": 2}), 1, 2)
    assert routes.resolve("m", "2").version == "2"
    assert routes.resolve("m", "candidate").version == "2"


@pytest.mark.parametrize(("name", "version"), [("other", None), ("m", "3"), ("m", "nightly")])
def test_what_is_not_there_is_not_found(name: str, version: str | None) -> None:
    with pytest.raises(ModelNotFound):
        table(model(1, aliases={"stable": 1}), 1).resolve(name, version)


def test_a_model_without_stable_says_what_to_do() -> None:
    with pytest.raises(ModelNotFound, match="promote one"):
        table(model(1), 1).resolve("m", None)


def test_a_promotion_answers_from_the_version_before_until_the_new_one_is_loaded() -> None:
    promoted = model(1, 2, aliases={"stable": 2}, history={"stable": (1,)})
    assert table(promoted, 1).resolve("m", None).version == "1"
    assert table(promoted, 1, 2).resolve("m", None).version == "2"


def test_a_rollback_answers_from_the_version_that_answered_until_the_one_before_is_loaded_again() -> None:
    promoted = table(model(1, 2, aliases={"stable": 2}, history={"stable": (1,)}), 2)
    rolled_back = model(1, 2, aliases={"stable": 1})
    assert build_table([rolled_back], {2: HERE}, promoted).resolve("m", None).version == "2"
    assert build_table([rolled_back], {1: HERE, 2: HERE}, promoted).resolve("m", None).version == "1"


def test_a_version_loaded_nowhere_is_not_ready_and_says_why() -> None:
    view = model(1, aliases={"stable": 1})
    with pytest.raises(ModelNotReady, match="not loaded"):
        table(view).resolve("m", None)
    failed = replace(view, versions=(replace(view.versions[0], failure="bad graph"),))
    with pytest.raises(ModelNotReady, match="bad graph"):
        table(failed).resolve("m", None)
    with pytest.raises(ModelNotReady, match="load it first"):
        table(replace(view, enabled=False)).resolve("m", None)


def test_only_what_may_become_ready_by_itself_says_when_to_try_again() -> None:
    view = model(1, 2, aliases={"stable": 1, "candidate": 2})
    broken = replace(view, versions=(replace(view.versions[0], failure="bad graph"), view.versions[1]))
    for routes, version, retry_after in (
        (table(view), None, 1),
        (table(broken), None, None),
        (table(broken), "1", None),
        (table(broken), "candidate", 1),  # whose failure is not that of `stable`
        (table(replace(view, enabled=False)), None, None),
    ):
        with pytest.raises(ModelNotReady) as refused:
            routes.resolve("m", version)
        assert refused.value.retry_after == retry_after


def test_a_version_that_nothing_names_is_not_waited_for() -> None:
    view = model(1, 2, 3, aliases={"stable": 2}, weights={"3": 1.0})
    for named in ("2", "3"):
        with pytest.raises(ModelNotReady, match="not loaded on any worker yet"):
            table(view).resolve("m", named)
    with pytest.raises(ModelNotReady, match="give it an alias") as raised:
        table(view, 2, 3).resolve("m", "1")
    assert raised.value.retry_after is None


def test_weights_share_out_unversioned_requests() -> None:
    routes = table(model(1, 2, aliases={"stable": 1}, weights={"stable": 3.0, "2": 1.0}), 1, 2)
    seen = Counter(routes.resolve("m", None).version for _ in range(4000))
    assert 0.65 < seen["1"] / 4000 < 0.85
    assert seen.total() == 4000


def test_two_weights_that_lead_to_one_version_add_up() -> None:
    routes = table(model(1, 2, aliases={"stable": 1}, weights={"stable": 1.0, "1": 1.0, "2": 0.0}), 1, 2)
    assert {routes.resolve("m", None).version for _ in range(100)} == {"1"}


def test_weights_for_versions_that_are_loaded_nowhere_leave_those_answering_that_did_until_one_is() -> None:
    view = model(1, 2, 3, 4, aliases={"stable": 1}, weights={"1": 1.0, "2": 1.0})
    answering = table(view, 1, 2)
    routed = replace(view, weights={"3": 0.5, "4": 0.5})
    waiting = build_table([routed], {1: HERE, 2: HERE}, answering)
    again = build_table([routed], {1: HERE, 2: HERE}, waiting)
    for routes in (waiting, again):
        seen = Counter(routes.resolve("m", None).version for _ in range(1000))
        assert seen.keys() == {"1", "2"}
        assert 350 < seen["1"] < 650
    assert build_table([routed], {2: HERE}, again).resolve("m", None).version == "2"
    assert {build_table([routed], {1: HERE, 3: HERE}, again).resolve("m", None).version for _ in range(50)} == {"3"}
    assert table(routed, 1).resolve("m", None).version == "1", "a gateway that has just started knows `stable`"


def test_weights_where_nothing_is_loaded_at_all_name_what_they_lead_to() -> None:
    with pytest.raises(ModelNotReady, match="version 2 of"):
        table(model(1, 2, aliases={"stable": 1}, weights={"2": 1.0})).resolve("m", None)


def test_a_version_that_is_loaded_nowhere_gets_no_share() -> None:
    routes = table(model(1, 2, aliases={"stable": 1}, weights={"1": 1.0, "2": 99.0}), 1)
    assert {routes.resolve("m", None).version for _ in range(100)} == {"1"}
