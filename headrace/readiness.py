"""When a version answers, and why it never will: what `up` and `models add --wait` wait for."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from headrace.api import Api
from headrace.errors import CommandError
from headrace.registry import Registry, find

if TYPE_CHECKING:
    from storage.views import ReplicaView, VersionView

POLL_S = 0.05


async def wait_for_version(registry: Registry, name: str, number: int, timeout_s: float) -> None:
    """Until a worker answers for the version. Raises CommandError where none can, or where none does in time."""
    give_up = monotonic() + timeout_s
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
        if reason := why_not(version, await registry.replicas()):
            raise CommandError(f"version {number} of {name} failed to load: {reason}")
        if number not in model.aliases.values() and str(number) not in (model.weights or {}):
            raise CommandError(
                f"version {number} of {name} is registered, but nothing points at it, so no worker loads it",
                f"`headrace models promote {name} {number}`, with --alias for another pointer than stable",
            )
        if await registry.is_ready(version):
            return
        await asyncio.sleep(10 * POLL_S)
    raise CommandError(
        f"version {number} of {name} was not loaded within {timeout_s:g} s", "`headrace status` shows the workers"
    )


def why_not(version: "VersionView", replicas: Sequence["ReplicaView"]) -> str | None:
    """Why no worker will load the version: it is at fault itself, or every worker has tried and can't."""
    if version.failure is not None:
        return version.failure
    states = [replica.versions.get(str(version.id), {}) for replica in replicas if not replica.draining]
    if states and all(state.get("state") == "failed" for state in states):
        return str(states[0].get("reason"))
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


async def wait_until_ready(api: Api, registry: Registry, name: str, say: Callable[[str], None]) -> None:
    """Until the gateway answers for each version that an alias of the model names, or it has failed, which is said."""
    while True:
        model, replicas = await find(registry, name), await registry.replicas()
        wanted = [version for version in model.versions if model.enabled and version.number in model.aliases.values()]
        reasons = {version.number: why_not(version, replicas) for version in wanted}
        paths = [f"/v2/models/{name}/versions/{number}/ready" for number, reason in reasons.items() if reason is None]
        if all([(await api.send("GET", path)).is_success for path in paths]):
            break
        await asyncio.sleep(POLL_S)
    for number, reason in reasons.items():
        if reason is not None:
            say(f"version {number} of {name} failed to load: {reason}")
