"""The configuration reference says what the settings classes say."""

import pytest
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from headrace import cli
from headrace.reference import SECTIONS, reference, rows_of, rows_of_command, section


class Example(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="HEADRACE_EXAMPLE_")

    port: int = Field(80, description="A | B.")
    token: str | None = None
    fields: tuple[str, ...] = ("a", "b")
    elsewhere: str = Field("x", validation_alias="HEADRACE_ELSEWHERE")


def test_a_variable_is_the_prefix_and_the_name_with_its_default_and_meaning() -> None:
    rows = section("Example", rows_of(Example)).splitlines()
    assert "| `HEADRACE_EXAMPLE_PORT` | `80` | A \\| B. |" in rows
    assert "| `HEADRACE_EXAMPLE_TOKEN` | unset |  |" in rows
    assert "| `HEADRACE_ELSEWHERE` | `x` |  |" in rows


def test_the_default_of_a_list_is_what_one_would_set(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = section("Example", rows_of(Example)).splitlines()
    assert '| `HEADRACE_EXAMPLE_FIELDS` | `["a", "b"]` |  |' in rows
    monkeypatch.setenv("HEADRACE_EXAMPLE_FIELDS", '["a", "b"]')
    assert Example().fields == Example.model_fields["fields"].default


def test_every_variable_that_an_option_of_the_command_may_come_from_is_there_once() -> None:
    rows = rows_of_command(cli.app)
    assert [name for name, _, _ in rows] == [
        "HEADRACE_ADMIN_TOKEN",
        "HEADRACE_DATA",
        "HEADRACE_TRAINING",
        "HEADRACE_URL",
    ]
    page = reference().splitlines()
    assert "| `HEADRACE_DATA` | `.headrace` | `--data`: Folder of the platform on this machine. |" in page


def test_every_setting_of_every_process_is_there_with_a_description() -> None:
    page = reference()
    for _, settings in SECTIONS:
        for name, field in settings.model_fields.items():
            assert f"{name.upper()}`" in page
            assert field.description, f"{settings.__name__}.{name} has no description"
