"""When a version answers, and why it never will: what `up` and `models add --wait` wait for."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.api import Api
from headrace.errors import CommandError
from headrace.registry import Registry, find
from headrace.states import is_wanted, reasons, reports_of, state_of

if TYPE_CHECKING:
    from storage.views import ReplicaView, VersionView

POLL_S = 0.05
NEW_S: Final = 15.0  # a trial of a small model takes a few seconds, more of them on a machine that is busy
NOBODY_S: Final = 30.0  # a platform that starts is heard of sooner, also on a machine that is busy
SAID_S: Final = 10.0
NOBODY: Final = "over which no worker runs"
START: Final = "`headrace up` starts a platform in a folder; --data names another one, --url a running platform"


async def wait_for_version(
    registry: Registry,
    name: str,
    number: int,
    timeout_s: float,
    *,
    where: str = "in the registry",
    say: Callable[[str], None] = lambda _: None,
    nobody_s: float = NOBODY_S,
) -> None:
    """Until a worker answers for the version; now and then it is said what that one is waiting for.

    Raises CommandError where none can, where none does in time, and where no worker has been heard of for `nobody_s`.
    """
    since = said = monotonic()
    give_up, why = since + timeout_s, ""
    beats: dict[str, int] | None = None
    alive = False
    while monotonic() < give_up:
        model = await find(registry, name)
        version = next((version for version in model.versions if version.number == number), None)
        if version is None:
            raise CommandError(f"version {number} of {name} was removed meanwhile")
        if not model.enabled:
            raise CommandError(
                f"version {number} of {name} is registered, but the model is unloaded, so no worker loads it",
                f"have it loaded with POST /v2/repository/models/{name}/load",
            )
        replicas = await registry.replicas()
        if reason := why_not(version, replicas):
            raise CommandError(f"version {number} of {name} failed to load: {reason}")
        why = f": {found}" if (found := reasons(reports_of(version, replicas))) else ""
        if not is_wanted(model, version):
            raise CommandError(
                f"version {number} of {name} is registered, but nothing points at it, so no worker loads it",
                f"`headrace models promote {name} {number}`, with --alias for another pointer than stable",
            )
        if await registry.is_ready(version):
            return
        # A platform that died leaves its workers in the registry: only those whose beats move on are there.
        before, beats = beats, {replica.id: replica.beat for replica in replicas}
        alive = alive or (before is not None and not beats.items() <= before.items())
        if not alive and monotonic() - since > nobody_s:
            raise CommandError(f"version {number} of {name} is registered {where}, {NOBODY}", START)
        if monotonic() - said > SAID_S:
            said = monotonic()
            state = state_of(model, version, replicas) if alive else "no worker is there yet"
            say(f"waiting for version {number} of {name} for {said - since:.0f} s: {state}")
        await asyncio.sleep(10 * POLL_S)
    raise CommandError(
        f"version {number} of {name} was not loaded within {timeout_s:g} s{why}", "`headrace status` shows the workers"
    )


def why_not(version: "VersionView", replicas: Sequence["ReplicaView"]) -> str | None:
    """Why no worker will load the version: it is at fault itself, or every worker has tried and can't."""
    if version.failure is not None:
        return version.failure
    taking = [replica for replica in replicas if not replica.draining]
    told = reports_of(version, taking)
    if told and len(told) == len(taking) and all(there["state"] != "ready" and there["reason"] for there in told):
        return reasons(told)
    return None


async def wait_until_live(api: Api) -> None:
    """Until the gateway answers at all."""
    while True:
        try:
            if (await api.send("GET", "/v2/health/live")).is_success:
                return
        except CommandError:
            pass
        await asyncio.sleep(POLL_S)


async def wait_until_ready(api: Api, limit_s: float = NEW_S) -> bool:
    """Until the gateway says that it is ready, which each of those on its port then is; no longer than `limit_s`."""
    give_up = monotonic() + limit_s
    while True:
        ready = (await api.send("GET", "/v2/health/ready")).is_success
        if ready or monotonic() > give_up:
            return ready
        await asyncio.sleep(POLL_S)


async def wait_until_serving(
    api: Api, registry: Registry, say: Callable[[str], None], *, made: Collection[str] = (), new_s: float = NEW_S
) -> None:
    """Until the gateway answers for whatever served before, and for the models that were `made` just now.

    What has failed is said, and not waited for. A version that nobody has served yet may hang in its trial: it is
    waited for only where nothing served before, and no longer than `new_s` after the last one that did come.
    """
    answering: set[int] = set()
    tried: set[int] = set()
    since = monotonic()
    while True:
        models, replicas = await registry.models(), await registry.replicas()
        wanted = [version for model in models for version in model.versions if is_wanted(model, version)]
        failed: list[VersionView] = []
        new: list[VersionView] = []
        awaited: list[VersionView] = []
        for version in wanted:
            told = reports_of(version, replicas)
            if any(there.get("trial") for there in told):
                tried.add(version.id)
            if version.id in answering:
                continue
            if why_not(version, replicas) is not None:
                failed.append(version)
            elif await _answers(api, version):
                answering.add(version.id)
                since = monotonic()
            elif version.id in tried and version.model not in made:
                new.append(version)
            else:
                awaited.append(version)
                since = monotonic()
        if not awaited and (not new or answering - tried or monotonic() - since > new_s):
            break
        await asyncio.sleep(POLL_S)
    for version in failed:
        say(f"version {version.number} of {version.model} failed to load: {why_not(version, replicas)}")
    for version in new:
        say(f"version {version.number} of {version.model} is in its trial, and answers once it has passed")


async def _answers(api: Api, version: "VersionView") -> bool:
    return (await api.send("GET", f"/v2/models/{version.model}/versions/{version.number}/ready")).is_success
