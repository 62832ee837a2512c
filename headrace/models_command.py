"""`headrace models`: which version answers, and which ones there are."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer

from headrace import add_command, list_command, options
from headrace.registry import Registry, find, open_registry

T = TypeVar("T")

app = typer.Typer(help="Ship, list and switch model versions.", no_args_is_help=True)
app.command("add")(add_command.add)
app.command("list")(list_command.list_)
app.command("show")(list_command.show)


@app.command()
@options.on_platform
def promote(
    platform: options.Platform,
    name: options.Model,
    version: Annotated[
        str, typer.Argument(metavar="VERSION_OR_ALIAS", help="A number, or an alias such as candidate.")
    ],
    alias: options.Alias = "stable",
) -> None:
    """Point an alias at a version. Requests that name none are answered by `stable`."""
    from headrace.output import print_version

    now = asyncio.run(_on(platform, name, lambda registry: registry.promote(name, version, alias)))
    print_version(now, f"{alias} of {name} is version {now.number}", platform.as_json)


@app.command()
@options.on_platform
def rollback(platform: options.Platform, name: options.Model, alias: options.Alias = "stable") -> None:
    """Point an alias back at the version that it had before."""
    from headrace.output import print_version

    now = asyncio.run(_on(platform, name, lambda registry: registry.rollback(name, alias)))
    print_version(now, f"{alias} of {name} is version {now.number} again", platform.as_json)


@app.command()
@options.on_platform
def remove(
    platform: options.Platform,
    name: options.Model,
    version: Annotated[int | None, typer.Option(min=1, help="Only this version; unless given, all of them.")] = None,
) -> None:
    """Forget a version that nothing points at, or the whole model."""
    asyncio.run(_on(platform, name, lambda registry: registry.remove(name, version)))
    from headrace.output import print_json

    if platform.as_json:
        print_json({"removed": name, "version": version})
    else:
        print(f"removed {name}" + (f" version {version}" if version else ""))


async def _on(platform: options.Platform, name: str, change: Callable[[Registry], Coroutine[Any, Any, T]]) -> T:
    async with open_registry(platform) as registry:
        await find(registry, name)  # for its error, which names what comes near
        return await change(registry)
