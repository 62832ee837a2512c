"""The options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.data_folder import DataFolder

DATA = Path(".headrace")

Url = Annotated[
    str | None,
    typer.Option(
        envvar="HEADRACE_URL", show_default=False, help="URL of a running platform; without it, the one in --data."
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="HEADRACE_ADMIN_TOKEN",
        show_default=False,
        help="Token of its admin API.",
    ),
]
Data = Annotated[Path, typer.Option(envvar="HEADRACE_DATA", help="Folder of the platform on this machine.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON; errors too, on standard error.")]
Alias = Annotated[str, typer.Option(help="The pointer to move.")]
Model = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]


def gateway_url(url: str | None, data: Path) -> str:
    """The gateway to ask: the one that was named, the one that runs over the folder, or the usual address."""
    return url or DataFolder(data).running() or "http://127.0.0.1:8000"
