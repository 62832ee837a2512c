"""`python -m headrace.reference` prints the configuration reference, made from the settings classes: Markdown."""

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from cache.settings import CacheSettings
from gateway.settings import GatewaySettings
from model_service.settings import WorkerSettings
from storage.settings import StorageSettings

SECTIONS: tuple[tuple[str, type[BaseSettings]], ...] = (
    ("Gateway", GatewaySettings),
    ("Worker", WorkerSettings),
    ("Registry and artifacts (gateway, worker, command)", StorageSettings),
    ("Response cache (gateway)", CacheSettings),
)
HEAD = """\
# Configuration

Every process reads its environment once, when it starts. This page is made from the settings classes by
`make reference`; `make check` fails where it is out of date.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(title, settings) for title, settings in SECTIONS)])


def section(title: str, settings: type[BaseSettings]) -> str:
    """A heading and a table: one row for each variable."""
    rows = [
        f"| `{variable(settings, name, field)}` | {_default(field)} | {_cell(field.description or '')} |"
        for name, field in settings.model_fields.items()
    ]
    return "\n".join([f"## {title}", "", "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def variable(settings: type[BaseSettings], name: str, field: FieldInfo) -> str:
    """The environment variable that sets a field: its alias where it has one, else the class's prefix and its name."""
    if isinstance(field.validation_alias, str):
        return field.validation_alias.upper()
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        return "unset"
    return _cell(f"`{value}`" if isinstance(value, str | int | float | Path) else str(value))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
