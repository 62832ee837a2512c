"""`headrace models add`: a folder or a file becomes a version."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace import options
from headrace.data_folder import DataFolder
from headrace.errors import CommandError
from headrace.registry import Registry, open_registry, place_of
from headrace.rows import Rows, rows_of

if TYPE_CHECKING:
    from storage.importers import Import
    from storage.views import ReplicaView, VersionView

HEARD_OF_S = 30  # a worker that is there is heard of twice a second, but clocks differ


@options.on_platform
def add(
    platform: options.Platform,
    source: Annotated[str, typer.Argument(help="An .onnx file, a model's folder, or hf:owner/name@revision.")],
    name: Annotated[str | None, typer.Option(help="The model's name; unless given, the source's own.")] = None,
    alias: Annotated[str | None, typer.Option(help="Pointer to set on it, e.g. candidate.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override the manifest: engine.threads=2, engine.providers=cuda,cpu."
        ),
    ] = None,
    golden: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='JSON with requests and the answers that the model must give before it serves: {"cases": [{"inputs":'
            ' [...], "outputs": [...]}], "tolerance": 1e-4}, with tensors as in /v2 requests.',
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until a worker has loaded it, or has failed to.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Longest that --wait waits, in seconds.")] = 300,
) -> None:
    """Register a model as the next version of its name. The first version of a model becomes `stable`."""
    from headrace.output import print_json

    overrides = parse_overrides(set_ or [])

    def say(line: str) -> None:
        if not platform.as_json:
            print(line, file=sys.stderr)

    async def run() -> tuple["VersionView", Rows, bool, Sequence[str], bool]:
        from headrace.local_registry import explain_storage_errors
        from headrace.readiness import wait_for_version
        from storage.importers import import_model

        async with open_registry(platform, create=True) as registry:
            with explain_storage_errors():
                imported = await asyncio.to_thread(import_model, source, name, settings=overrides, golden=golden)
            present = await _present(registry, imported)
            version = await registry.add(imported, alias)
            if wait:
                where = place_of(platform)
                await wait_for_version(registry, version.model, version.number, timeout, where=where, say=say)
            replicas = await registry.replicas()
            idle = platform.url is None and not _runs(platform, replicas)
            return version, rows_of(version, replicas), version.number == present, imported.notes, idle

    version, rows, unchanged, notes, idle = asyncio.run(run())
    if platform.as_json:
        print_json({**asdict(version), "rows": rows, "unchanged": unchanged, "notes": notes})
        return
    print(f"{_describe(version, alias, loaded=wait, unchanged=unchanged)}; {rows}")
    if version.manifest.cache_reason:
        print(f"its answers are never cached: {version.manifest.cache_reason}")
    for note in notes:
        print(f"note: {note}")
    if idle:
        from headrace.readiness import NOBODY, START

        print(f"it is {place_of(platform)}, {NOBODY}: {START}")


def _runs(platform: options.Platform, replicas: Sequence["ReplicaView"]) -> bool:
    """Whether a platform runs over the registry on this machine, or a worker by itself does."""
    now = datetime.now(UTC)
    heard_of = any((now - replica.seen_at).total_seconds() < HEARD_OF_S for replica in replicas)
    return heard_of or DataFolder(platform.data).running_url() is not None


async def _present(registry: Registry, imported: "Import") -> int | None:
    """The number of the version that has all of this already."""
    name, digest = imported.manifest.name, imported.manifest.digest
    model = next((model for model in await registry.models() if model.name == name), None)
    versions = model.versions if model is not None else ()
    return next((version.number for version in versions if version.digest == digest), None)


def _describe(version: "VersionView", alias: str | None, *, loaded: bool, unchanged: bool) -> str:
    which = f"{version.model} version {version.number}"
    if not unchanged:
        return f"{which} is {'loaded' if loaded else 'registered'}"
    state = f", which failed to load: {version.failure}" if version.failure else ", and loaded" if loaded else ""
    points = f"; {alias} points at it" if alias is not None else ""
    return f"nothing changed: these files with these settings are {which} already{state}{points}"


def parse_overrides(settings: Sequence[str]) -> dict[str, Any]:
    """`engine.threads=2` as `{"engine": {"threads": 2}}`. A value is JSON where it reads as such, else a string."""
    overrides: dict[str, Any] = {}
    for setting in settings:
        key, found, value = setting.partition("=")
        if not found or not all(key.split(".")):
            raise CommandError(f"{setting!r} is no setting", "write it as in --set engine.threads=2")
        section = overrides
        *path, last = key.split(".")
        for part in path:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise CommandError(f"{key} is given both as a value and as a section", "give it once")
        section[last] = _value(value)
    return overrides


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
