"""What all workers together tell of a version: each has its own view of it, and none speaks for the others."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.views import ModelView, ReplicaView, VersionView


def reports_of(version: "VersionView", replicas: Sequence["ReplicaView"]) -> list[Mapping[str, Any]]:
    """What each worker tells of it that takes requests and has begun to load it."""
    id = str(version.id)
    return [replica.versions[id] for replica in replicas if not replica.draining and id in replica.versions]


def ready_on(told: Iterable[Mapping[str, Any]]) -> int:
    """How many workers answer for it."""
    return sum(there["state"] == "ready" for there in told)


def reasons(told: Iterable[Mapping[str, Any]]) -> str:
    """Why it did not load, on whichever workers; those that try again now keep the reason of the last time."""
    found = (str(there["reason"]) for there in told if there["state"] in ("failed", "loading") and there["reason"])
    return "; ".join(dict.fromkeys(found))


def is_wanted(model: "ModelView", version: "VersionView") -> bool:
    """Whether every worker should have it: an alias or a route points at it."""
    return model.enabled and model.names(version.number)


def route_of(model: "ModelView") -> str:
    """How the route shares out the requests that name no version; nothing where there is no route."""
    weights = model.weights or {}
    total = sum(weights.values())
    shares = []
    for target, weight in sorted(weights.items()):
        leads_to = f" (version {model.aliases[target]})" if target in model.aliases else ""
        shares.append(f"{target}={weight / total:.3g}{leads_to}")
    return " ".join(shares)


def state_of(model: "ModelView", version: "VersionView", replicas: Sequence["ReplicaView"]) -> str:
    """In words, with the reasons of whatever is not as it should be."""
    if not model.enabled:
        return "unloaded"
    if version.failure is not None:
        return f"failed: {version.failure}"
    if not replicas:
        return "not loaded: no worker runs"
    told = reports_of(version, replicas)
    count, why = ready_on(told), reasons(told)
    if count:
        state = f"ready, not on every worker: {why}" if why else "ready"
    elif why:
        state = f"not loaded yet: {why}"
    else:
        state = "loading, in its trial" if any(there.get("trial") for there in told) else "loading"
    return f"{state}, suspect: {suspicion}" if (suspicion := _suspicion(told)) else state


def _suspicion(told: Iterable[Mapping[str, Any]]) -> str:
    """What speaks against it although it serves: what its processes died of, and the inputs that are refused for it."""
    told = list(told)
    crashes = [there["suspect"] for there in told if "suspect" in there]
    refused = {key for there in told for key in there.get("refused", {})}
    found = []
    if crashes:
        how = " and ".join(dict.fromkeys(f"its process {crash['died_of']}" for crash in crashes))
        found.append(f"{how} (crashes since it was loaded: {sum(crash['crashes'] for crash in crashes)})")
    if crashes or refused:
        found.append(f"inputs refused: {len(refused)}")
    return ", ".join(found)
