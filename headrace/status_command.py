"""`headrace status`: does it answer, and what is loaded where."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from headrace import options
from headrace.registry import open_registry

if TYPE_CHECKING:
    from storage.views import ModelView, ReplicaView


@options.on_platform
def status(platform: options.Platform) -> None:
    """Whether the platform answers, its workers and its models. Ends with 1 where it is not ready."""
    from headrace.output import print_json, print_pairs, print_table

    found = asyncio.run(_status(platform))
    if platform.as_json:
        print_json(found)
    else:
        print_pairs({"gateway": found["url"], "ready": "yes" if found["ready"] else "no"})
        if found["models"]:
            print()
            print_table(
                ("model", "version", "aliases", "workers", "state"),
                [(m["name"], m["version"], " ".join(m["aliases"]), m["ready_on"], m["state"]) for m in found["models"]],
            )
        if found["workers"]:
            print()
            print_table(("worker", "state"), [(w["url"], w["state"]) for w in found["workers"]])
    if not found["ready"]:
        raise typer.Exit(1)


async def _status(platform: options.Platform) -> dict[str, Any]:
    from headrace.api import Api

    gateway = platform.gateway_url
    async with Api.open(gateway, platform.token) as api:
        ready = (await api.send("GET", "/v2/health/ready")).is_success
    async with open_registry(platform) as registry:
        models, replicas = await registry.models(), await registry.replicas()
    return {
        "url": gateway,
        "ready": ready,
        "models": [row for model in models for row in _versions(model, replicas)],
        "workers": [{"url": r.url, "state": "draining" if r.draining else "running"} for r in replicas],
    }


def _versions(model: "ModelView", replicas: Sequence["ReplicaView"]) -> list[dict[str, Any]]:
    """The versions that something points at or that have failed, each with the workers that are ready to answer it."""
    rows = []
    for version in model.versions:
        aliases = sorted(name for name, number in model.aliases.items() if number == version.number)
        states = [replica.versions.get(str(version.id), {}).get("state") for replica in replicas]
        on = states.count("ready")
        if not (aliases or on or version.failure):
            continue
        state = f"failed: {version.failure}" if version.failure else "ready" if on else "loading"
        if not model.enabled:
            state = "unloaded"
        rows.append({"name": model.name, "version": version.number, "aliases": aliases, "ready_on": on, "state": state})
    return rows
