"""JSON schemas of the bodies of inference, in general and for one model, from its manifest."""

import re
from collections.abc import Sequence
from math import prod
from typing import Any, Final

from storage.manifest import Manifest, TensorSpec
from wire.datatypes import DATATYPES, TYPECODES
from wire.schemas import NUMBERS, STRING, TEXTS, Schema, array_of, either, object_of, one_word_of, or_null
from wire.tasks.contract import Contract
from wire.tasks.text import TextContract
from wire.tasks.vectors import OF_MODEL

# Above this many numbers an example explains nothing.
_LONGEST_EXAMPLE: Final = 1024
_TEXT: Final = TextContract.example
_OTHER_TEXT: Final = "A river drives the wheels."


def one_name_of(names: Sequence[str]) -> Schema:
    """As `one_word_of`, of names that others have given.

    Generators of clients make a constant of each, in capitals and without signs: where two would be alike they fail.
    """
    constants = {re.sub("[^a-z0-9]", "", name.lower()) for name in names}
    if names and len(constants) == len(names) and "" not in constants:
        return one_word_of(names)
    return {**STRING, "description": f"One of {', '.join(names)}."} if names else STRING


_PARAMETERS: Final[Schema] = {"type": "object", "additionalProperties": True}
_REQUEST_PARAMETERS: Final = object_of(
    {
        "timeout": or_null({"type": "integer", "minimum": 0, "description": "Microseconds that the client will wait."}),
        "binary_data_output": or_null({"type": "boolean", "description": "Answer all tensors as bytes."}),
    },
    additionalProperties=True,
)

_REQUESTED_OUTPUT: Final = object_of(
    {"name": STRING, "parameters": or_null(object_of({"binary_data": or_null({"type": "boolean"})}))}, "name"
)
_ANY_TENSOR: Final = object_of(
    {
        "name": STRING,
        "datatype": one_word_of(sorted(DATATYPES)),
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
        "parameters": or_null(_REQUEST_PARAMETERS),
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
    output = object_of({**_REQUESTED_OUTPUT["properties"], "name": one_name_of(names)}, "name")
    count = len(manifest.inputs)
    inputs = array_of(_one_of([_tensor(spec) for spec in manifest.inputs]), minItems=count, maxItems=count)
    return _request(inputs, output, **_examples(manifest.inputs))


def infer_response(manifest: Manifest) -> Schema:
    """The body of this model's answer, with every tensor in JSON that has such a form."""
    return _response(array_of(_one_of([_tensor(spec) for spec in manifest.outputs if has_json_form(spec)])))


def has_json_form(spec: TensorSpec) -> bool:
    """FP16 and BF16 have none: they travel as binary tensors only."""
    return spec.datatype in TYPECODES or spec.datatype in ("BOOL", "BYTES")


EMBEDDING_PARAMETERS: Final[dict[str, Schema]] = {
    "model": STRING,
    "input": TEXTS,
    "encoding_format": or_null(one_word_of(["float", "base64"])),
    **OF_MODEL,
    "user": or_null({"type": "string", "description": "Not read."}),
}


def embedding_request(models: Sequence[str]) -> Schema:
    """The body of `/v1/embeddings`; `models` are those that embed."""
    properties = {**EMBEDDING_PARAMETERS, "model": one_name_of(models)}
    examples = [{"model": model, "input": [_TEXT, _OTHER_TEXT]} for model in models[:1]]
    return object_of(properties, "model", "input", **({"examples": examples} if examples else {}))


EMBEDDING_RESPONSE: Final = object_of(
    {
        "object": {"type": "string", "const": "list"},
        "data": array_of(
            object_of(
                {
                    "object": {"type": "string", "const": "embedding"},
                    "index": {"type": "integer"},
                    "embedding": either(
                        NUMBERS, {"type": "string", "description": "base64 of little-endian FP32."}
                    ),
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
    {
        "inputs": {"description": "What the task takes."},
        "parameters": or_null(_PARAMETERS),
        "options": or_null(_PARAMETERS),
    },
    "inputs",
)


def task_request(task: Contract) -> Schema:
    """The body of `/models/{name}` for a model of this task."""
    flag = or_null({"type": "boolean"})
    properties: dict[str, Schema] = {
        "inputs": task.body_inputs,
        "parameters": or_null(object_of(task.body_parameters, additionalProperties=False)),
        "options": or_null(object_of({"use_cache": flag, "wait_for_model": flag})),
        **(task.body_parameters if task.beside else {}),
    }
    return object_of(properties, "inputs", examples=[{"inputs": task.example}])


def _tensor(spec: TensorSpec) -> Schema:
    rank, sizes = len(spec.shape), list(spec.shape)
    # Sizes one by one would be `prefixItems`, or a `const` of the whole list: generators of clients take neither.
    size: Schema = {"type": "integer", "minimum": 0}
    if sizes and -1 not in sizes:
        size = {"type": "integer", "minimum": min(sizes), "maximum": max(sizes)}
    shape = array_of(size, minItems=rank, maxItems=rank)
    shape["description"] = f"{sizes}, where -1 is any size." if -1 in sizes else f"{sizes}."
    properties: dict[str, Schema] = {
        "name": {"type": "string", "const": spec.name},
        "datatype": {"type": "string", "const": spec.datatype},
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
