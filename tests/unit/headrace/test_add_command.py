"""`--set key=value` as settings of a manifest."""

import pytest

from headrace.add_command import parse_overrides
from headrace.errors import CommandError


def test_values_are_json_where_they_read_as_such() -> None:
    settings = ["engine.threads=2", 'engine.providers=["cpu"]', "description=two = 2", "text.normalize=false"]
    assert parse_overrides(settings) == {
        "engine": {"threads": 2, "providers": ["cpu"]},
        "description": "two = 2",
        "text": {"normalize": False},
    }


@pytest.mark.parametrize("settings", [["engine"], ["=2"], ["engine.=2"], ["engine=2", "engine.threads=2"]])
def test_what_is_no_setting_is_refused(settings: list[str]) -> None:
    with pytest.raises(CommandError):
        parse_overrides(settings)
