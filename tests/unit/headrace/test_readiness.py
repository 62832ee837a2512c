"""Waiting for a version, and not waiting for one that never comes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from headrace.api import Api
from headrace.errors import CommandError
from headrace.readiness import wait_for_version, wait_until_serving, why_not
from storage.importers import Import
from storage.manifest import Manifest
from storage.views import ModelView, ReplicaView, VersionView

NOW = datetime.now(UTC)
MANIFEST = Manifest.model_validate(
    {
        "name": "m",
        "model": "model.onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
        "files": [{"path": "model.onnx", "sha256": "0" * 64, "size": 1}],
    }
)


def version(failure: str | None = None) -> VersionView:
    return VersionView(7, "m", 1, MANIFEST.digest, MANIFEST, failure, NOW)


def replica(state: str, reason: str | None = None, *, draining: bool = False) -> ReplicaView:
    return ReplicaView("r", "http://127.0.0.1:1", True, draining, 1, NOW, {"7": {"state": state, "reason": reason}})


class FakeRegistry:
    """One version of one model; `ready_after` is how often it is asked for before it is ready."""

    def __init__(
        self,
        version: VersionView,
        replicas: Sequence[ReplicaView],
        *,
        ready_after: int,
        pointed: bool = True,
        enabled: bool = True,
    ):
        self._model = ModelView("m", enabled, (version,), {"stable": 1} if pointed else {}, {}, None)
        self._replicas = replicas
        self._asked = 0
        self._ready_after = ready_after

    async def models(self) -> Sequence[ModelView]:
        return [self._model]

    async def replicas(self) -> Sequence[ReplicaView]:
        return self._replicas

    async def is_ready(self, version: VersionView) -> bool:
        self._asked += 1
        return self._asked > self._ready_after

    async def add(self, imported: Import, alias: str | None) -> VersionView:
        raise NotImplementedError

    async def promote(self, name: str, version: str, alias: str) -> VersionView:
        raise NotImplementedError

    async def rollback(self, name: str, alias: str) -> VersionView:
        raise NotImplementedError

    async def remove_alias(self, name: str, alias: str) -> None:
        raise NotImplementedError

    async def remove(self, name: str, version: int | None) -> None:
        raise NotImplementedError


async def test_where_no_worker_is_heard_of_waiting_ends_soon_and_says_where_it_is_registered() -> None:
    left_over = replica("ready")  # of a platform that died: nothing has it beat again
    with pytest.raises(
        CommandError, match=r"version 1 of m is registered in /srv/x, over which no worker runs"
    ) as idle:
        async with asyncio.timeout(30):
            await wait_for_version(
                FakeRegistry(version(), [left_over], ready_after=99), "m", 1, 300, where="in /srv/x", nobody_s=0
            )
    assert "headrace up" in idle.value.hint


async def test_a_worker_that_is_heard_of_is_waited_for_and_it_is_told_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Beating(FakeRegistry):
        async def replicas(self) -> Sequence[ReplicaView]:
            self._replicas = [replace(one, beat=one.beat + 1) for one in self._replicas]
            return self._replicas

    monkeypatch.setattr("headrace.readiness.SAID_S", 0)
    said: list[str] = []
    registry = Beating(version(), [replica("loading")], ready_after=3)
    await wait_for_version(registry, "m", 1, 300, say=said.append, nobody_s=0.3)
    assert [line.rpartition(" s: ")[2] for line in said] == ["no worker is there yet", "loading", "loading"]
    assert said[0].startswith("waiting for version 1 of m for ")


async def test_it_is_waited_for_until_it_answers() -> None:
    await wait_for_version(FakeRegistry(version(), [replica("loading")], ready_after=2), "m", 1, 30)


@pytest.mark.parametrize(
    ("registry", "said"),
    [
        (FakeRegistry(version("no graph"), [], ready_after=0), "failed to load: no graph"),
        (FakeRegistry(version(), [replica("failed", "no GPU")], ready_after=9), "failed to load: no GPU"),
        (FakeRegistry(version(), [], ready_after=9, pointed=False), "nothing points at it"),
        (FakeRegistry(version(), [], ready_after=9, enabled=False), "the model is unloaded"),
        (FakeRegistry(version(), [], ready_after=9), "not loaded within"),
        (
            FakeRegistry(version(), [replica("loading", "late"), replica("loading")], ready_after=9),
            "not loaded within.*: late",
        ),
    ],
)
async def test_what_will_not_come_is_said_with_the_reason(registry: FakeRegistry, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        await wait_for_version(registry, "m", 1, 0.1)


@pytest.mark.parametrize(
    ("replicas", "reason"),
    [
        ([replica("failed", "no GPU"), replica("ready")], None),
        ([replica("failed", "no GPU"), replica("loading")], None),
        ([replica("failed", "no GPU"), replica("ready", draining=True)], "no GPU"),
        ([replica("loading", "late"), replica("failed", "no GPU")], "late; no GPU"),
        ([], None),
    ],
)
def test_only_when_every_worker_has_failed_there_is_no_hope(replicas: list[Any], reason: str | None) -> None:
    assert why_not(version(), replicas) == reason


class Gateway:
    """Answers for the versions `ready`, by id."""

    def __init__(self, *ready: int) -> None:
        self.ready = set(ready)

    def open(self) -> Api:
        def answer(request: httpx.Request) -> httpx.Response:
            id = int(request.url.path.split("/")[5])  # versions here have their ids for numbers
            return httpx.Response(200 if id in self.ready else 503)

        return Api(httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway"))


class Registered(FakeRegistry):
    """Versions 1, 2, ... of a model each, of which one worker tells what `told` says."""

    def __init__(self, told: dict[int, dict[str, Any]]) -> None:
        super().__init__(version(), [], ready_after=0)
        self.told = told

    async def models(self) -> Sequence[ModelView]:
        return [
            ModelView(name, True, (VersionView(id, name, id, "digest", MANIFEST, None, NOW),), {"stable": id}, {}, None)
            for id, name in ((id, f"m{id}") for id in self.told)
        ]

    async def replicas(self) -> Sequence[ReplicaView]:
        return [ReplicaView("r", "http://r", True, False, 1, NOW, {str(id): there for id, there in self.told.items()})]


LOADING: dict[str, Any] = {"state": "loading", "reason": None}
TRIAL = {**LOADING, "trial": True}
READY: dict[str, Any] = {"state": "ready", "reason": None}


async def serving(gateway: Gateway, registry: Registered, *made: str, new_s: float = 3600) -> list[str]:
    said: list[str] = []
    async with asyncio.timeout(30):
        await wait_until_serving(gateway.open(), registry, said.append, made=made, new_s=new_s)
    return said


async def test_what_served_before_is_not_kept_waiting_by_a_trial_that_hangs() -> None:
    said = await serving(Gateway(1), Registered({1: READY, 2: TRIAL}))
    assert said == ["version 2 of m2 is in its trial, and answers once it has passed"]


async def test_what_served_before_is_waited_for_however_long_it_takes() -> None:
    gateway, registry = Gateway(), Registered({1: LOADING, 2: TRIAL})
    waiting = asyncio.create_task(serving(gateway, registry))
    assert not await done_within(0.3, waiting)
    gateway.ready = {1}
    assert len(await waiting) == 1


async def test_what_has_failed_before_it_served_again_is_said_and_not_waited_for() -> None:
    said = await serving(Gateway(1), Registered({1: READY, 2: {**LOADING, "reason": "no memory"}}))
    assert said == ["version 2 of m2 failed to load: no memory"]


async def test_the_models_that_were_made_just_now_are_waited_for_in_their_trial() -> None:
    gateway, registry = Gateway(1), Registered({1: READY, 2: TRIAL})
    waiting = asyncio.create_task(serving(gateway, registry, "m2"))
    assert not await done_within(0.3, waiting)
    gateway.ready = {1, 2}
    assert await waiting == []


async def test_where_nothing_served_before_a_trial_is_waited_for_but_not_for_ever() -> None:
    gateway, registry = Gateway(), Registered({1: TRIAL, 2: TRIAL})
    waiting = asyncio.create_task(serving(gateway, registry, new_s=0.5))
    assert not await done_within(0.2, waiting)
    gateway.ready = {1}
    assert await waiting == ["version 2 of m2 is in its trial, and answers once it has passed"]


async def done_within(seconds: float, task: asyncio.Task[Any]) -> bool:
    done, _ = await asyncio.wait([task], timeout=seconds)
    return bool(done)
