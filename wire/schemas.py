"""JSON schemas, in the forms that generators of clients understand."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Schema = dict[str, Any]

STRING: Final[Schema] = {"type": "string"}


def object_of(properties: Mapping[str, Schema], *required: str, **more: Any) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": list(required), **more}


def array_of(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def either(*schemas: Schema) -> Schema:
    """One of these, of which a value can only be one. Where lists are among them, generators fail at `anyOf`."""
    return {"oneOf": list(schemas)}


def one_word_of(words: Sequence[str]) -> Schema:
    return {"type": "string", "enum": list(words)}


def or_null(schema: Schema) -> Schema:
    """What is read as if it were left out where it is null."""
    return {"anyOf": [schema, {"type": "null"}]}


NUMBERS: Final = array_of({"type": "number"}, minItems=1)
TEXTS: Final = either(STRING, array_of(STRING, minItems=1))
