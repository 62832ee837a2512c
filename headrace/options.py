"""The options that several commands share."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from headrace.data_folder import DataFolder

DATA = Path(".headrace")

Data = Annotated[Path, typer.Option(envvar="HEADRACE_DATA", help="Folder of the platform on this machine.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON; errors too, on standard error.")]
Alias = Annotated[str, typer.Option(help="The pointer to move.")]
Model = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]
Version = Annotated[str | None, typer.Option(help="A version's number or alias; unless given, `stable`.")]


@dataclass(frozen=True)
class Platform:
    """Which platform a command speaks to, and how it says what it heard."""

    url: Annotated[
        str | None,
        typer.Option(
            envvar="HEADRACE_URL", show_default=False, help="URL of a running platform; without it, the one in --data."
        ),
    ] = None
    token: Annotated[
        str | None,
        typer.Option(envvar="HEADRACE_ADMIN_TOKEN", show_default=False, help="Token of its admin API."),
    ] = None
    data: Data = DATA
    as_json: Json = False

    @property
    def gateway_url(self) -> str:
        """The gateway to ask: the one that was named, the one that runs over the folder, or the usual address."""
        return self.url or DataFolder(self.data).running_url() or "http://127.0.0.1:8000"


def on_platform(command: Callable[..., None]) -> Callable[..., None]:
    """For typer, `command` with the options that name a platform in place of its first parameter, a Platform."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    hints = get_type_hints(Platform, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(Platform)
    ]

    @wraps(command)
    def run(**values: Any) -> None:
        platform = Platform(**{parameter.name: values.pop(parameter.name) for parameter in shared})
        command(platform, **values)

    run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    return run
