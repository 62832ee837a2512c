"""JSON schemas of the bodies of inference, in general and for one model, from its manifest."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final

from model_service.protocol.datatypes import DATATYPES, TYPECODES
from storage.manifest import Manifest, TensorSpec

Schema = dict[str, Any]

# Above this many numbers an example explains nothing.
_LONGEST_EXAMPLE: Final = 1024
_TEXT: Final = "The water runs from the gate to the turbines."
_OTHER_TEXT: Final = "A river drives the wheels."


def object_of(properties: dict[str, Schema], *required: str, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), **more}


def array_of(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def or_null(schema: Schema) -> Schema:
    """What is read as if it were left out where it is null."""
    return {"anyOf": [schema, {"type": "null"}]}


STRING: Final[Schema] = {"type": "string"}
NUMBERS: Final = array_of({"type": "number"})
_PARAMETERS: Final[Schema] = {"type": "object", "additionalProperties": True}
_TEXTS: Final[Schema] = {"anyOf": [STRING, array_of(STRING, minItems=1)]}

_REQUESTED_OUTPUT: Final = object_of({"name": STRING, "parameters": or_null(object_of({"binary_data": {}}))}, "name")
_ANY_TENSOR: Final = object_of(
    {
        "name": STRING,
        "datatype": {"enum": sorted(DATATYPES)},
        "shape": array_of({"type": "integer", "minimum": 0}),
        "parameters": or_null(_PARAMETERS),
        "data": array_of({}, description="The elements in row-major order, flat or nested."),
    },
    "name", "datatype", "shape",
)  # fmt: skip


def _request(inputs: Schema, output: Schema, **more: Any) -> Schema:
    properties = {
        "id": {**or_null(STRING), "description": "Echoed in the answer."},
        "inputs": inputs,
        "outputs": {**or_null(array_of(output)), "description": "The outputs that are wanted; all of them without it."},
        "parameters": or_null(_PARAMETERS),
    }
    return object_of(properties, "inputs", **more)


def _response(outputs: Schema) -> Schema:
    properties = {
        "model_name": STRING,
        "model_version": STRING,
        "id": STRING,
        "parameters": _PARAMETERS,
        "outputs": outputs,
    }
    return object_of(properties, "model_name", "model_version", "outputs")


INFER_REQUEST: Final = _request(array_of(_ANY_TENSOR, minItems=1), _REQUESTED_OUTPUT)
INFER_RESPONSE: Final = _response(array_of(_ANY_TENSOR))


def infer_request(manifest: Manifest) -> Schema:
    """The body of a request to this model, with every tensor in JSON."""
    names = [spec.name for spec in manifest.outputs]
    output = object_of({**_REQUESTED_OUTPUT["properties"], "name": {"enum": names}}, "name")
    count = len(manifest.inputs)
    inputs = array_of(_one_of([_tensor(spec) for spec in manifest.inputs]), minItems=count, maxItems=count)
    return _request(inputs, output, **_examples(manifest.inputs))


def infer_response(manifest: Manifest) -> Schema:
    """The body of this model's answer, with every tensor in JSON that has such a form."""
    return _response(array_of(_one_of([_tensor(spec) for spec in manifest.outputs if has_json_form(spec)])))


def has_json_form(spec: TensorSpec) -> bool:
    """FP16 and BF16 have none: they travel as binary tensors only."""
    return spec.datatype in TYPECODES or spec.datatype in ("BOOL", "BYTES")


def embedding_request(models: Sequence[str]) -> Schema:
    """The body of `/v1/embeddings`; `models` are those that embed."""
    properties: dict[str, Schema] = {
        "model": {"enum": list(models)} if models else STRING,
        "input": _TEXTS,
        "encoding_format": or_null({"enum": ["float", "base64"]}),
        "dimensions": {**or_null({"type": "integer"}), "description": "What the model has, if anything."},
        "user": {"description": "Not read."},
    }
    examples = [{"model": model, "input": [_TEXT, _OTHER_TEXT]} for model in models[:1]]
    return object_of(properties, "model", "input", **({"examples": examples} if examples else {}))


EMBEDDING_RESPONSE: Final = object_of(
    {
        "object": {"const": "list"},
        "data": array_of(
            object_of(
                {
                    "object": {"const": "embedding"},
                    "index": {"type": "integer"},
                    "embedding": {
                        "anyOf": [NUMBERS, {"type": "string", "description": "base64 of little-endian FP32."}]
                    },
                },
                "object", "index", "embedding",
            )
        ),
        "model": STRING,
        "usage": object_of(
            {"prompt_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}}, "prompt_tokens", "total_tokens"
        ),
    },
    "object", "data", "model", "usage",
)  # fmt: skip


ANY_TASK_REQUEST: Final = object_of(
    {"inputs": {"description": "What the task takes."}, "parameters": _PARAMETERS, "options": _PARAMETERS},
    "inputs",
)


def task_request(manifest: Manifest) -> Schema:
    """The body of `/models/{name}` for a text model."""
    inputs, given = _TEXTS, dict[str, Schema]()
    match manifest.task:
        case "sentence-embedding":
            pair = {"source_sentence": STRING, "sentences": array_of(STRING, minItems=1)}
            inputs = {"anyOf": [*_TEXTS["anyOf"], object_of(pair, *pair)]}
        case "text-classification":
            given = {"top_k": or_null({"type": "integer", "minimum": 1})}
        case "token-classification":
            strategies: Schema = {"enum": ["none", "simple"]}
            given = {"aggregation_strategy": or_null(strategies), "ignore_labels": or_null(array_of(STRING))}
    flags: dict[str, Schema] = {"use_cache": {"type": "boolean"}, "wait_for_model": {"type": "boolean"}}
    properties: dict[str, Schema] = {
        "inputs": inputs,
        "parameters": or_null(object_of(given, additionalProperties=False)),
        "options": or_null(object_of(flags)),
    }
    return object_of(properties, "inputs", examples=[{"inputs": _TEXT}])


def task_response(manifest: Manifest) -> Schema:
    """What `/models/{name}` answers for a text model: for one text, or for a list of them."""
    match manifest.task:
        case "sentence-embedding":
            return {"anyOf": [NUMBERS, array_of(NUMBERS)]}
        case "text-classification":
            return array_of(array_of(object_of({"label": STRING, "score": {"type": "number"}}, "label", "score")))
        case _:
            return {"anyOf": [array_of(_ENTITY), array_of(array_of(_ENTITY))]}


_ENTITY: Final = object_of(
    {
        "entity_group": STRING,
        "entity": STRING,
        "score": {"type": "number"},
        "word": STRING,
        "start": {"type": "integer"},
        "end": {"type": "integer"},
    },
    "score", "word", "start", "end",
)  # fmt: skip


def _tensor(spec: TensorSpec) -> Schema:
    rank, sizes = len(spec.shape), list(spec.shape)
    # Sizes one by one would be `prefixItems`, which few readers of OpenAPI get right.
    shape = array_of({"type": "integer", "minimum": 0}, minItems=rank, maxItems=rank)
    shape |= {"description": f"{sizes}, where -1 is any size."} if -1 in sizes else {"const": sizes}
    properties: dict[str, Schema] = {
        "name": {"const": spec.name},
        "datatype": {"const": spec.datatype},
        "shape": shape,
        "data": array_of(_element(spec.datatype), description="The elements in row-major order."),
    }
    return object_of(properties, "name", "datatype", "shape", "data")


def _element(datatype: str) -> Schema:
    match datatype:
        case "BOOL":
            return {"type": "boolean"}
        case "BYTES":
            return STRING
        case "FP32" | "FP64":
            return {"type": "number"}
    bits = int(datatype.removeprefix("U").removeprefix("INT"))
    lowest = 0 if datatype[0] == "U" else -(2 ** (bits - 1))
    return {"type": "integer", "minimum": lowest, "maximum": lowest + 2**bits - 1}


def _one_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _examples(specs: Sequence[TensorSpec]) -> dict[str, Any]:
    """One row of zeros, or of text, for each tensor; nothing where that would be long."""
    tensors = []
    for spec in specs:
        shape = [max(size, 1) if size < 0 else size for size in spec.shape]
        if prod(shape) > _LONGEST_EXAMPLE:
            return {}
        value = {"BYTES": _TEXT, "BOOL": False}.get(spec.datatype, 0)
        tensors.append({"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": [value] * prod(shape)})
    return {"examples": [{"inputs": tensors}]}
