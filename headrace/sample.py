"""Requests for a model, made from its metadata: from what was typed, or made up for a measurement."""

import json
import random
from collections.abc import Sequence
from math import prod
from typing import Any

from headrace.errors import CommandError
from wire.tasks.contract import Contract
from wire.tasks.table import task_named

WORDS = [
    *("river", "water", "gate", "turbine", "power", "valley", "snow", "stone", "quiet", "early", "morning", "small"),
    *("engine", "measure", "answer", "question", "winter", "harbour", "letter", "garden", "window", "travel"),
]


def contract_of(metadata: dict[str, Any]) -> Contract:
    """What the model's task is to whoever asks it. Raises CommandError where this command has not heard of it."""
    try:
        return task_named(metadata["task"])
    except ValueError as error:
        raise CommandError(f"{metadata['name']}: {error}", "take the headrace that the platform runs") from error


def takes_texts(metadata: dict[str, Any]) -> bool:
    """Whether each value that is typed is a row: that of a task which reads texts, or of a graph that takes strings."""
    return contract_of(metadata).takes_text or _one_string_a_row(metadata["inputs"])


def _one_string_a_row(specs: Sequence[dict[str, Any]]) -> bool:
    """Whether strings are all that a graph takes: `[-1]`, or `[-1, 1]` as scikit-learn has them."""
    return len(specs) == 1 and specs[0]["datatype"] == "BYTES" and all(int(size) == 1 for size in specs[0]["shape"][1:])


def request_of(metadata: dict[str, Any], values: Sequence[str]) -> dict[str, Any]:
    """The OIP request for what was typed: one or more texts, or the tensors as one JSON value.

    JSON may be the whole request (`{"inputs": [...]}`), an object of tensors by name, or the data of the only input; a
    row alone is taken for a batch of one. NaN and Infinity are taken. Raises CommandError where it is none of these.
    """
    specs = metadata["inputs"]
    if takes_texts(metadata):
        shape = [len(values), *(1 for _ in specs[0]["shape"][1:])]
        return {"inputs": [{"name": specs[0]["name"], "datatype": "BYTES", "shape": shape, "data": list(values)}]}
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


def invent_request(metadata: dict[str, Any], rows: int, chance: random.Random) -> dict[str, Any]:
    """A request of `rows` rows in the model's shapes: sentences of 4 to 24 words, or numbers between 0 and 1."""
    return {"inputs": [_invent_tensor(spec, rows, chance) for spec in metadata["inputs"]]}


def count_values(metadata: dict[str, Any], rows: int) -> int:
    """How many values such a request has."""
    return sum(prod(_invent_shape(spec, rows)) for spec in metadata["inputs"])


def _invent_shape(spec: dict[str, Any], rows: int) -> list[int]:
    return [rows if at == 0 and size < 0 else max(size, 1) for at, size in enumerate(map(int, spec["shape"]))]


def _invent_tensor(spec: dict[str, Any], rows: int, chance: random.Random) -> dict[str, Any]:
    shape = _invent_shape(spec, rows)
    count = prod(shape)
    match spec["datatype"]:
        case "BYTES":
            data: list[Any] = [" ".join(chance.choices(WORDS, k=chance.randint(4, 24))) for _ in range(count)]
        case "BOOL":
            data = [chance.random() < 0.5 for _ in range(count)]
        case "FP16" | "BF16" | "FP32" | "FP64":
            data = [round(chance.random(), 6) for _ in range(count)]
        case _:
            data = [chance.randint(0, 1) for _ in range(count)]
    return {"name": spec["name"], "datatype": spec["datatype"], "shape": shape, "data": data}


def _tensor(spec: dict[str, Any], data: Any) -> dict[str, Any]:
    if not spec["shape"] and not isinstance(data, list):
        return {"name": spec["name"], "datatype": spec["datatype"], "shape": [], "data": [data]}
    shape = _nesting(data, spec["name"])
    if shape == [0] and all(int(size) > 0 for size in spec["shape"][1:]):
        shape = [0, *map(int, spec["shape"][1:])]  # no rows; one of no elements would not fit
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
