"""How `/openapi.json` describes the paths of inference: what each protocol says of its own is made of this."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.api.errors import MEANINGS
from storage.manifest import Manifest
from wire.schemas import STRING, Schema, one_word_of
from wire.tasks.contract import Contract
from wire.tasks.table import task_named

_STATUSES: Final = (400, 404, 413, 415, 429, 503, 504)
_BINARY: Final[Schema] = {"type": "string", "format": "binary"}
_JSON_LENGTH: Final = "Inference-Header-Content-Length"
_ABOUT_BINARY: Final = (
    "As `application/octet-stream`: the JSON, and behind it the bytes of those tensors that say `binary_data_size`; "
    f"the header `{_JSON_LENGTH}` says how many bytes are JSON."
)


@dataclass(frozen=True, slots=True)
class DescribedModel:
    """A model of which the description tells; `in_code` is a pattern of names of its own, such as `model_minilm_{}`."""

    name: str
    manifest: Manifest
    in_code: str

    @property
    def task(self) -> Contract:
        return task_named(self.manifest.task)


@dataclass(frozen=True, slots=True)
class Described:
    """A protocol's paths: in general, and of each model; and the schemas that they name, by what `in_code` makes."""

    paths: Mapping[str, Any]
    of_models: dict[str, Any] = field(default_factory=dict)
    schemas: dict[str, Schema] = field(default_factory=dict)


Describe = Callable[[Sequence[DescribedModel]], Described]


def post(
    name: str,
    summary: str,
    tag: str,
    request: Schema | None,
    response: Schema | None,
    path: Sequence[str] = (),
    *,
    about: Sequence[str] = (),
    binary: bool = False,
    error: str = "Error",
) -> dict[str, Any]:
    """A path whose POST takes and gives JSON, None where there is no such form, or, with `binary`, tensors as bytes."""
    parameters = [{"name": name, "in": "path", "required": True, "schema": STRING} for name in path]
    answered: dict[str, Any] = {"x-cache": {"schema": one_word_of(["hit", "miss", "bypass"])}}
    if binary:
        length = {"description": "How many bytes of the body are JSON.", "schema": {"type": "integer", "minimum": 0}}
        parameters.append({"name": _JSON_LENGTH, "in": "header", "required": request is None, **length})
        answered[_JSON_LENGTH] = length
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "description": "\n\n".join(filter(None, [*about, _ABOUT_BINARY if binary else ""])),
            "tags": [tag],
            "parameters": parameters,
            "requestBody": {"required": True, "content": _contents(request, binary)},
            "responses": {
                "200": {"description": "The answer.", "headers": answered, "content": _contents(response, binary)},
                **{str(status): refusal(status, error) for status in _STATUSES},
            },
        }
    }


def _contents(schema: Schema | None, binary: bool) -> dict[str, Any]:
    as_json = {"application/json": {"schema": schema}} if schema is not None else {}
    return as_json | ({"application/octet-stream": {"schema": _BINARY}} if binary else {})


def refusal(status: int, error: str) -> dict[str, Any]:
    """The answer of that status, whose body is the schema `error`."""
    return {"description": MEANINGS[status], "content": {"application/json": {"schema": ref(error)}}}


def ref(name: str) -> Schema:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}
