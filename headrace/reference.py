"""`python -m headrace.reference` prints the configuration reference, made from the settings classes: Markdown."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import typer
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings
from typer.core import TyperGroup, TyperOption

from gateway import settings as gateway
from headrace import cli
from model_service.settings import WorkerSettings
from service.logs import LogSettings
from service.tracing_settings import TracingSettings
from storage.settings import StorageSettings

SECTIONS: tuple[tuple[str, type[BaseSettings]], ...] = (
    *gateway.SECTIONS.items(),
    ("Worker", WorkerSettings),
    ("Registry and artifacts (gateway, worker, command)", StorageSettings),
    ("Logs (gateway, worker)", LogSettings),
    ("Tracing (gateway, worker)", TracingSettings),
)
HEAD = """\
# Configuration

Every process reads its environment once, when it starts. This page is made from the settings classes and from the
command's own options by `make reference`; `make check` fails where it is out of date.

What is secret need not be in the environment: with `HEADRACE_SECRETS_DIR`, a variable of gateway, worker, migrations
and prune that is not set is read from the file of its name in that folder, in lower case (`headrace_database_url`).
"""
Row = tuple[str, Any, str]  # a variable, its default and its meaning


def reference() -> str:
    """The whole page."""
    return "\n".join(
        [
            HEAD,
            *(section(title, rows_of(settings)) for title, settings in SECTIONS),
            section("Command (in place of its options)", rows_of_command(cli.app)),
        ]
    )


def section(title: str, rows: Iterable[Row]) -> str:
    """A heading and a table: one row for each variable."""
    cells = [f"| `{name}` | {_default(default)} | {_cell(meaning)} |" for name, default, meaning in rows]
    return "\n".join([f"## {title}", "", "| variable | default | meaning |", "|---|---|---|", *cells, ""])


def rows_of(settings: type[BaseSettings]) -> Iterator[Row]:
    """The variables that a process reads."""
    for name, field in settings.model_fields.items():
        yield variable(settings, name, field), field.get_default(call_default_factory=True), field.description or ""


def rows_of_command(app: typer.Typer) -> list[Row]:
    """The variables that stand in for options, each once, however many commands have the option."""
    rows: dict[str, Row] = {}
    pending = [typer.main.get_command(app)]
    while pending:
        command = pending.pop()
        if isinstance(command, TyperGroup):
            pending += command.commands.values()
        for option in command.params:
            if isinstance(option, TyperOption) and isinstance(option.envvar, str):
                rows[option.envvar] = option.envvar, option.default, f"`{option.opts[0]}`: {option.help}"
    return sorted(rows.values())


def variable(settings: type[BaseSettings], name: str, field: FieldInfo) -> str:
    """The environment variable that sets a field: its alias where it has one, else the class's prefix and its name."""
    if isinstance(field.validation_alias, str):
        return field.validation_alias.upper()
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def _default(value: Any) -> str:
    """As one would write it in the environment, where a list is JSON."""
    if value is None:
        return "unset"
    return _cell(f"`{json.dumps(value) if isinstance(value, tuple | list | dict) else value}`")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
