"""`null` in JSON means the same as leaving the field out, as many clients write every field that they know."""

from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class NullIsAbsent(BaseModel):
    """A model whose fields may be null wherever they may be absent, and then are what they are by default."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if not isinstance(given, dict) or None not in given.values():
            return given
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: value for name, value in given.items() if value is not None or name not in optional}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of what is read tells of it; what is answered has no nulls that it did not have before."""
        schema = handler(core)
        if handler.mode == "validation":
            told = handler.resolve_ref_schema(schema)
            required = told.get("required", ())
            told["properties"] = {
                name: field if name in required else _or_null(field)
                for name, field in told.get("properties", {}).items()
            }
        return schema


def _or_null(field: JsonSchemaValue) -> JsonSchemaValue:
    if {"type": "null"} in field.get("anyOf", ()):
        return field
    about = {key: field[key] for key in ("title", "description", "default") if key in field}
    return about | {"anyOf": [{key: value for key, value in field.items() if key not in about}, {"type": "null"}]}
