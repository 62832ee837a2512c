"""`headrace models add`: a folder or a file becomes a version."""

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace import options
from headrace.errors import CommandError
from headrace.registry import open_registry

if TYPE_CHECKING:
    from storage.views import VersionView


@options.on_platform
def add(
    platform: options.Platform,
    source: Annotated[str, typer.Argument(help="An .onnx file, a model's folder, or hf:owner/name@revision.")],
    name: Annotated[str | None, typer.Option(help="The model's name; unless given, the source's own.")] = None,
    alias: Annotated[str | None, typer.Option(help="Pointer to set on it, e.g. candidate.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override the manifest: engine.threads=2."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until a worker has loaded it, or has failed to.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Longest that --wait waits, in seconds.")] = 300,
) -> None:
    """Register a model as the next version of its name. The first version of a model becomes `stable`."""
    from headrace.output import print_version

    overrides = parse_overrides(set_ or [])

    async def run() -> "VersionView":
        from headrace.local_registry import explained
        from headrace.readiness import wait_for_version
        from storage.importers import import_model

        async with open_registry(platform, create=True) as registry:
            with explained():
                imported = await asyncio.to_thread(import_model, source, name, settings=overrides)
            version = await registry.add(imported, alias)
            if wait:
                await wait_for_version(registry, version.model, version.number, timeout)
            return version

    version = asyncio.run(run())
    print_version(
        version, f"{version.model} version {version.number} is {'loaded' if wait else 'registered'}", platform.as_json
    )


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
