"""`headrace models list` and `show`: what is registered, and what points at it."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace import options
from headrace.registry import find, open_registry, place_of
from headrace.rows import rows_of
from headrace.states import is_wanted, reports_of, route_of, state_of

if TYPE_CHECKING:
    from storage.views import ModelView, ReplicaView, VersionView

NOT_WANTED = "not loaded: nothing points at it"


@options.on_platform
def list_(platform: options.Platform) -> None:
    """Every model, with the versions that its aliases point at."""
    from headrace.output import print_json, print_table

    async def run() -> tuple[list["ModelView"], Sequence["ReplicaView"]]:
        async with open_registry(platform) as registry:
            return list(await registry.models()), await registry.replicas()

    models, replicas = asyncio.run(run())

    if platform.as_json:
        print_json(models)
    elif not models:
        print(f"no models {place_of(platform)} yet: `headrace models add SOURCE` adds one")
    else:
        print_table(
            ("name", "task", "versions", "aliases", "rows", "state"),
            [
                (
                    m.name,
                    m.versions[-1].manifest.task if m.versions else "",
                    len(m.versions),
                    _aliases(m),
                    rows_of(m.versions[-1], replicas).rows if m.versions else "",
                    _state(m, replicas),
                )
                for m in models
            ],
        )


@options.on_platform
def show(platform: options.Platform, name: options.Model) -> None:
    """One model: its tensors, its versions and what points at them."""
    from headrace.output import print_json, print_pairs, print_table

    async def run() -> tuple["ModelView", Sequence["ReplicaView"]]:
        async with open_registry(platform) as registry:
            return await find(registry, name), await registry.replicas()

    model, replicas = asyncio.run(run())

    if platform.as_json:
        print_json(model)
        return
    pairs: dict[str, object] = {"name": model.name, "state": _state(model, replicas), "aliases": _aliases(model)}
    pairs |= {"route": route_of(model)}
    if model.versions:
        manifest = model.versions[-1].manifest
        pairs |= {"task": manifest.task, "description": manifest.description}
        pairs |= {f"input {t.name}": f"{t.datatype} {list(t.shape)}" for t in manifest.inputs}
        pairs |= {f"output {t.name}": f"{t.datatype} {list(t.shape)}" for t in manifest.outputs}
        pairs |= {"rows": rows_of(model.versions[-1], replicas)}
        pairs |= {"cache": f"never: {manifest.cache_reason}" if manifest.cache_reason else ""}
        pairs |= {key: f"{value:.4g}" for key, value in manifest.metrics.items()}
    print_pairs({key: value for key, value in pairs.items() if value != ""})
    print()
    print_table(
        ("version", "digest", "registered", "state"),
        [
            (v.number, v.digest[:12], f"{v.created_at:%Y-%m-%d %H:%M}", _state_of_version(model, v, replicas))
            for v in model.versions
        ],
    )


def _aliases(model: "ModelView") -> str:
    return " ".join(f"{name}={number}" for name, number in sorted(model.aliases.items()))


def _state(model: "ModelView", replicas: Sequence["ReplicaView"]) -> str:
    """What each version does, in one word where all do the same. Of one that nothing points at, its failure alone."""
    if not model.enabled:
        return "unloaded"
    found = {
        version.number: state_of(model, version, replicas)
        for version in model.versions
        if version.failure is None and _is_told(model, version, replicas)
    }
    failed = sorted(version.number for version in model.versions if version.failure is not None)
    if len(set(found.values())) == 1 and not failed:
        return next(iter(found.values()))
    told = [f"version {number} {state}" for number, state in found.items()]
    told += [f"failed: version {', '.join(map(str, failed))}"] if failed else []
    return "; ".join(told) or NOT_WANTED


def _state_of_version(model: "ModelView", version: "VersionView", replicas: Sequence["ReplicaView"]) -> str:
    if model.enabled and version.failure is None and not _is_told(model, version, replicas):
        return NOT_WANTED
    return state_of(model, version, replicas)


def _is_told(model: "ModelView", version: "VersionView", replicas: Sequence["ReplicaView"]) -> bool:
    """Whether some worker has it or should have it."""
    return is_wanted(model, version) or bool(reports_of(version, replicas))
