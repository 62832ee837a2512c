"""What all workers together tell of a version."""

from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.states import state_of
from storage.views import ModelView, ReplicaView, VersionView
from tests.unit.model_service.graphs import manifest

NOW = datetime.now(UTC)
VERSION = VersionView(7, "m", 1, "digest", manifest(), None, NOW)
READY: dict[str, Any] = {"state": "ready", "reason": None}
LOADING: dict[str, Any] = {"state": "loading", "reason": None}


def state(*told: dict[str, Any] | None, draining: bool = False) -> str:
    """Where each worker tells that of the version, or nothing."""
    replicas = [
        ReplicaView(f"w{at}", f"http://w{at}", True, draining, 1, NOW, {} if there is None else {"7": there})
        for at, there in enumerate(told)
    ]
    return state_of(ModelView("m", True, (VERSION,), {"stable": 1}, {}, None), VERSION, replicas)


def suspect(crashes: int, *refused: str, how: str = "was killed by SIGFPE") -> dict[str, Any]:
    about = {key: {"reason": "it ends the process", "for_s": 60.0} for key in refused}
    return {**READY, "suspect": {"died_of": how, "crashes": crashes}, "refused": about}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([], "not loaded: no worker runs"),
        ([None], "loading"),
        ([None, LOADING], "loading"),
        ([{**LOADING, "trial": True}, LOADING], "loading, in its trial"),
        ([READY, None], "ready"),
        ([READY, {**LOADING, "reason": "no memory"}], "ready, not on every worker: no memory"),
        ([{**LOADING, "reason": "it took too long", "timeouts": 1}, LOADING], "not loaded yet: it took too long"),
        ([{"state": "failed", "reason": "late"}] * 2, "not loaded yet: late"),
        ([{"state": "failed", "reason": why} for why in ("late", "no GPU")], "not loaded yet: late; no GPU"),
    ],
)
def test_whatever_any_worker_has_to_say_of_a_version_is_told(told: list[dict[str, Any] | None], said: str) -> None:
    assert state(*told) == said


def test_what_speaks_against_a_version_is_added_up_over_the_workers() -> None:
    assert state(suspect(1), suspect(2, "a", "b"), suspect(1, "b", "c", how="was killed by SIGSEGV")) == (
        "ready, suspect: its process was killed by SIGFPE and its process was killed by SIGSEGV"
        " (crashes since it was loaded: 4), inputs refused: 3"
    )


def test_an_input_is_refused_also_where_no_engine_has_died_of_it() -> None:
    assert state(READY, {**READY, "refused": {"a": {}}}) == "ready, suspect: inputs refused: 1"


def test_a_worker_that_leaves_answers_nothing_any_more() -> None:
    assert state(READY, draining=True) == "loading"
