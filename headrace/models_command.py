"""`headrace models`: which version answers, and which ones there are."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from headrace import add_command, list_command, options
from headrace.errors import CommandError
from headrace.registry import Registry, find, open_registry
from headrace.states import ready_on, reasons, reports_of, route_of

if TYPE_CHECKING:
    from storage.views import ModelView, ReplicaView, VersionView

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
    """Point an alias at a version. Requests that name none are answered by `stable`.

    The version that it had before answers until a worker has loaded this one, as `headrace models show` tells.

    Ends with 1 where that version has failed to load: the alias is moved, and the one before goes on answering.
    """
    from headrace.output import print_version

    async def move(registry: Registry) -> tuple["VersionView", str]:
        return await _with_obstacle(platform, registry, await registry.promote(name, version, alias), alias)

    now, told = asyncio.run(_on(platform, name, move))
    print_version(now, f"{alias} of {name} is version {now.number}{told}", platform.as_json)
    _end_where_failed(now)


@app.command()
@options.on_platform
def rollback(platform: options.Platform, name: options.Model, alias: options.Alias = "stable") -> None:
    """Point an alias back at the version that it had before. Ends with 1 where that one has failed to load."""
    from headrace.output import print_version

    async def move(registry: Registry) -> tuple["VersionView", str]:
        try:
            now = await registry.rollback(name, alias)
        except CommandError as error:
            # Whoever is in a hurry to be rid of a candidate that was never promoted asks for this one first.
            model = await find(registry, name)
            sharing = _sharing(platform, model, model.aliases[alias], alias) if alias in model.aliases else ""
            raise CommandError(error.message, sharing or error.hint) from error
        return await _with_obstacle(platform, registry, now, alias)

    now, told = asyncio.run(_on(platform, name, move))
    print_version(now, f"{alias} of {name} is version {now.number} again{told}", platform.as_json)
    _end_where_failed(now)


@app.command()
@options.on_platform
def unalias(
    platform: options.Platform,
    name: options.Model,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The pointer to take away, e.g. candidate.")],
) -> None:
    """Take an alias away, never `stable`. Its version stays, and is unloaded unless something else names it."""
    asyncio.run(_on(platform, name, lambda registry: registry.remove_alias(name, alias)))
    from headrace.output import print_json

    if platform.as_json:
        print_json({"removed": name, "alias": alias})
    else:
        print(f"{name} has no alias {alias} any more")


@app.command()
@options.on_platform
def remove(
    platform: options.Platform,
    name: options.Model,
    version: Annotated[int | None, typer.Option(min=1, help="Only this version; unless given, all of them.")] = None,
) -> None:
    """Forget a version that nothing points at, or the whole model."""

    async def forget(registry: Registry) -> None:
        try:
            await registry.remove(name, version)
        except CommandError as error:
            aliases = (await find(registry, name)).aliases
            names = [alias for alias, number in sorted(aliases.items()) if number == version and alias != "stable"]
            hint = " and ".join(f"`headrace models unalias {name} {alias}`" for alias in names)
            raise CommandError(error.message, f"take it away with {hint}" if hint else error.hint) from error

    asyncio.run(_on(platform, name, forget))
    from headrace.output import print_json

    if platform.as_json:
        print_json({"removed": name, "version": version})
    else:
        print(f"removed {name}" + (f" version {version}" if version else ""))


def _end_where_failed(version: "VersionView") -> None:
    # A script goes on with what answers by the new version. One that only loads still may answer soon.
    if version.failure is not None:
        raise typer.Exit(1)


async def _with_obstacle(
    platform: options.Platform, registry: Registry, version: "VersionView", alias: str
) -> tuple["VersionView", str]:
    """The version where the alias points now, and what keeps it from answering."""
    model, replicas = await find(registry, version.model), await registry.replicas()
    told, sharing = _obstacle(version, replicas), _sharing(platform, model, version.number, alias)
    return version, f"{told}; {sharing}" if sharing else told


def _obstacle(version: "VersionView", replicas: Sequence["ReplicaView"]) -> str:
    """Why the version does not answer although the alias points at it; nothing where nothing is known of that."""
    if version.failure:
        return f", which failed to load: {version.failure}"
    told_by_workers = reports_of(version, replicas)
    why = "" if ready_on(told_by_workers) else reasons(told_by_workers)
    return f", which is not loaded yet: {why}" if why else ""


def _sharing(platform: options.Platform, model: "ModelView", number: int, alias: str) -> str:
    """That the route has another version than the alias's answer too, and what ends that; nothing where it has not."""
    weights = {target: share for target, share in (model.weights or {}).items() if share > 0}
    leads_to = {model.aliases.get(target, target) for target in weights}
    if (alias != "stable" and alias not in weights) or leads_to <= {number, str(number)}:
        return ""
    token = ' -H "authorization: Bearer $HEADRACE_ADMIN_TOKEN"' if platform.token else ""
    return (
        f"requests that name no version go where the route says: {route_of(model)}; to end the sharing: curl -X PUT"
        f" {platform.gateway_url.rstrip('/')}/admin/models/{model.name}/route{token}"
        """ -H 'content-type: application/json' -d '{"weights": null}'"""
    )


async def _on(platform: options.Platform, name: str, change: Callable[[Registry], Coroutine[Any, Any, T]]) -> T:
    async with open_registry(platform) as registry:
        await find(registry, name)  # for its error, which names what comes near
        return await change(registry)
