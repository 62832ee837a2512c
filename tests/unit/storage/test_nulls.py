"""Null is as good as nothing where a field may be absent: what is read, and the schema that tells of it."""

import pytest
from pydantic import ValidationError

from storage.nulls import NullIsAbsent


class Asked(NullIsAbsent):
    name: str
    count: int = 3
    label: str | None = None


def test_null_is_what_the_field_is_by_default() -> None:
    assert Asked.model_validate({"name": "a", "count": None, "label": None}) == Asked(name="a")
    with pytest.raises(ValidationError):
        Asked.model_validate({"name": None})


def test_the_schema_of_what_is_read_says_where_null_may_stand() -> None:
    fields = Asked.model_json_schema()["properties"]
    assert fields["name"] == {"title": "Name", "type": "string"}
    assert fields["count"] == {"title": "Count", "default": 3, "anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert fields["label"]["anyOf"] == [{"type": "string"}, {"type": "null"}]


def test_the_schema_of_what_is_answered_has_no_other_nulls() -> None:
    assert Asked.model_json_schema(mode="serialization")["properties"]["count"]["type"] == "integer"
