"""Requests for a model, made from its metadata: from what was typed, or made up for a measurement."""

import json
import random
from collections.abc import Sequence
from typing import Any

from headrace.errors import CommandError

WORDS = [
    *("river", "water", "gate", "turbine", "power", "valley", "snow", "stone", "quiet", "early", "morning", "small"),
    *("engine", "measure", "answer", "question", "winter", "harbour", "letter", "garden", "window", "travel"),
]


def takes_text(metadata: dict[str, Any]) -> bool:
    """Whether the model's only input is a text for each row."""
    return [tensor["datatype"] for tensor in metadata["inputs"]] == ["BYTES"]


def request_of(metadata: dict[str, Any], values: Sequence[str]) -> dict[str, Any]:
    """The OIP request for what was typed: one or more texts, or the tensors as one JSON value.

    JSON may be the whole request (`{"inputs": [...]}`), an object of tensors by name, or the data of the only input; a
    row alone is taken for a batch of one. Raises CommandError where it is none of these.
    """
    specs = metadata["inputs"]
    if takes_text(metadata):
        return {"inputs": [_tensor(specs[0], list(values))]}
    if len(values) != 1:
        raise CommandError(
            f"{metadata['name']} takes tensors, not {len(values)} texts", f"give one JSON value: {_shape_of(specs)}"
        )
    try:
        given = json.loads(values[0])
    except json.JSONDecodeError as error:
        raise CommandError(f"the input is not JSON: {error}", f"{metadata['name']} takes {_shape_of(specs)}") from error
    if isinstance(given, dict) and isinstance(given.get("inputs"), list):
        return given
    if not isinstance(given, dict):
        if len(specs) != 1:
            raise CommandError(f"{metadata['name']} has {len(specs)} inputs", f"give them by name: {_shape_of(specs)}")
        given = {specs[0]["name"]: given}
    known = {spec["name"]: spec for spec in specs}
    if unknown := given.keys() - known:
        raise CommandError(
            f"{metadata['name']} has no input {', '.join(sorted(unknown))}", f"it takes {_shape_of(specs)}"
        )
    return {"inputs": [_tensor(known[name], data) for name, data in given.items()]}


def made_up_request(metadata: dict[str, Any], rows: int, chance: random.Random) -> dict[str, Any]:
    """A request of `rows` rows in the model's shapes: sentences of 4 to 24 words, or numbers between 0 and 1."""
    return {"inputs": [_made_up_tensor(spec, rows, chance) for spec in metadata["inputs"]]}


def _made_up_tensor(spec: dict[str, Any], rows: int, chance: random.Random) -> dict[str, Any]:
    shape = [rows if at == 0 and size < 0 else max(size, 1) for at, size in enumerate(map(int, spec["shape"]))]
    count = 1
    for size in shape:
        count *= size
    match spec["datatype"]:
        case "BYTES":
            data: list[Any] = [" ".join(chance.choices(WORDS, k=chance.randint(4, 24))) for _ in range(count)]
        case "BOOL":
            data = [chance.random() < 0.5 for _ in range(count)]
        case "FP32" | "FP64":
            data = [round(chance.random(), 6) for _ in range(count)]
        case "FP16" | "BF16":
            raise CommandError(f"the input {spec['name']} is {spec['datatype']}, which has no JSON form", "")
        case _:
            data = [chance.randint(0, 1) for _ in range(count)]
    return {"name": spec["name"], "datatype": spec["datatype"], "shape": shape, "data": data}


def _tensor(spec: dict[str, Any], data: Any) -> dict[str, Any]:
    shape = _nesting(data, spec["name"])
    if len(shape) == len(spec["shape"]) - 1:
        shape = [1, *shape]
    return {"name": spec["name"], "datatype": spec["datatype"], "shape": shape, "data": data}


def _nesting(data: Any, name: str) -> list[int]:
    if not isinstance(data, list):
        return []
    inner = [_nesting(part, name) for part in data]
    if any(shape != inner[0] for shape in inner):
        raise CommandError(f"the rows of {name} differ in length", "give every row the same number of elements")
    return [len(data), *(inner[0] if inner else [])]


def _shape_of(specs: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{spec['name']} {spec['datatype']} {spec['shape']}" for spec in specs)
