"""Waiting for a version, and not waiting for one that never comes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.errors import CommandError
from headrace.readiness import wait_for_version, why_not
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

    async def remove(self, name: str, version: int | None) -> None:
        raise NotImplementedError


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
        ([], None),
    ],
)
def test_only_when_every_worker_has_failed_there_is_no_hope(replicas: list[Any], reason: str | None) -> None:
    assert why_not(version(), replicas) == reason
