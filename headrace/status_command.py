"""`headrace status`: does it answer, and what is loaded where."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from headrace import options
from headrace.registry import open_registry
from headrace.rows import rows_of
from headrace.states import is_wanted, ready_on, reports_of, state_of

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
                ("model", "version", "aliases", "workers", "rows", "state"),
                [
                    (m["name"], m["version"], " ".join(m["aliases"]), m["ready_on"], m["rows"], m["state"])
                    for m in found["models"]
                ],
            )
            for m in found["models"]:
                if m["rows"] == "alone":
                    print(f"{m['name']} version {m['version']}: each request runs alone and whole: {m['rows_reason']}")
                if m["cache_reason"]:
                    print(f"{m['name']} version {m['version']}: answers are never cached: {m['cache_reason']}")
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
    """The versions that something points at, that serve or have failed, each with the workers that answer for it."""
    rows = []
    for version in model.versions:
        aliases = sorted(name for name, number in model.aliases.items() if number == version.number)
        on = ready_on(reports_of(version, replicas))
        if not (aliases or on or version.failure or is_wanted(model, version)):
            continue
        found = rows_of(version, replicas)
        rows.append(
            {
                "name": model.name,
                "version": version.number,
                "aliases": aliases,
                "ready_on": on,
                "rows": found.rows,
                "rows_reason": found.reason,
                "cache_reason": version.manifest.cache_reason,
                "state": state_of(model, version, replicas),
            }
        )
    return rows
