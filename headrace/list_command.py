"""`headrace models list` and `show`: what is registered, and what points at it."""

import asyncio
from typing import TYPE_CHECKING

from headrace import options
from headrace.registry import find, open_registry

if TYPE_CHECKING:
    from storage.views import ModelView


@options.on_platform
def list_(platform: options.Platform) -> None:
    """Every model, with the versions that its aliases point at."""
    from headrace.output import print_json, print_table

    async def run() -> list["ModelView"]:
        async with open_registry(platform) as registry:
            return list(await registry.models())

    models = asyncio.run(run())

    if platform.as_json:
        print_json(models)
    elif not models:
        where = f"at {platform.url}" if platform.url else f"in {platform.data}"
        print(f"no models {where} yet: `headrace models add SOURCE` adds one")
    else:
        print_table(
            ("name", "task", "versions", "aliases", "state"),
            [
                (m.name, m.versions[-1].manifest.task if m.versions else "", len(m.versions), _aliases(m), _state(m))
                for m in models
            ],
        )


@options.on_platform
def show(platform: options.Platform, name: options.Model) -> None:
    """One model: its tensors, its versions and what points at them."""
    from headrace.output import print_json, print_pairs, print_table

    async def run() -> "ModelView":
        async with open_registry(platform) as registry:
            return await find(registry, name)

    model = asyncio.run(run())

    if platform.as_json:
        print_json(model)
        return
    pairs: dict[str, object] = {"name": model.name, "state": _state(model), "aliases": _aliases(model)}
    if model.versions:
        manifest = model.versions[-1].manifest
        pairs |= {"task": manifest.task, "description": manifest.description}
        pairs |= {f"input {t.name}": f"{t.datatype} {list(t.shape)}" for t in manifest.inputs}
        pairs |= {f"output {t.name}": f"{t.datatype} {list(t.shape)}" for t in manifest.outputs}
        pairs |= {key: f"{value:.4g}" for key, value in manifest.metrics.items()}
    print_pairs({key: value for key, value in pairs.items() if value != ""})
    print()
    print_table(
        ("version", "digest", "registered", "state"),
        [(v.number, v.digest[:12], f"{v.created_at:%Y-%m-%d %H:%M}", v.failure or "") for v in model.versions],
    )


def _aliases(model: "ModelView") -> str:
    return " ".join(f"{name}={number}" for name, number in sorted(model.aliases.items()))


def _state(model: "ModelView") -> str:
    if not model.enabled:
        return "unloaded"
    failed = sorted(version.number for version in model.versions if version.failure is not None)
    return f"failed: version {', '.join(map(str, failed))}" if failed else ""
