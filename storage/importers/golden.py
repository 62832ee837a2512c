"""Golden cases that come beside a model: requests and answers that a version must reproduce before it is ready.

Whether the model gives these answers is found out in its trial, by the worker; here only whether the file can hold any,
and whether its tensors are the model's by name, datatype and, of what goes in, shape.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from storage.errors import InvalidArtifact
from storage.importers.draft import GOLDEN, Import, entry, validate
from storage.manifest import Manifest, TensorSpec
from wire.codec import decode_request, decode_response
from wire.errors import ServingError
from wire.tasks.table import task_named
from wire.tensors import Tensor

FORM = '{"cases": [{"inputs": [...], "outputs": [...]}], "tolerance": 1e-4}'
_MAX_BYTES = 64 * 2**20


def with_golden(imported: Import, file: Path) -> Import:
    """The model with the file as its golden cases, in place of any that it brought. Raises InvalidArtifact."""
    _check_fit(_read(file), file, imported.manifest)
    path = imported.manifest.golden or GOLDEN
    files = dict(sorted({**imported.files, path: file}.items()))
    fields = imported.manifest.model_dump()
    entries = {kept["path"]: kept for kept in fields["files"]} | {path: entry(path, file).model_dump()}
    fields |= {"golden": path, "files": [entries[path] for path in files]}
    return replace(imported, manifest=validate(fields), files=files)


def _read(file: Path) -> Any:
    if not file.is_file():
        raise InvalidArtifact(f"there is no file {file} with golden cases")
    if file.stat().st_size > _MAX_BYTES:
        raise InvalidArtifact(f"{file} is larger than {_MAX_BYTES >> 20} MiB: a few golden cases are enough")
    try:
        document = json.loads(file.read_bytes())
        wrong = _mistake(document)
    except (ValueError, RecursionError):
        wrong = "it is not JSON"
    if wrong is not None:
        raise InvalidArtifact(
            f"{file} holds no golden cases: {wrong}; it must be JSON such as {FORM}, with tensors as in requests"
        )
    return document


def _check_fit(document: Any, file: Path, manifest: Manifest) -> None:
    for number, case in enumerate(document["cases"], 1):
        try:
            inputs = decode_request(orjson.dumps({"inputs": case["inputs"]}), None, manifest.name, None).inputs
            outputs = decode_response(orjson.dumps({"outputs": case["outputs"]}), None).outputs
            wrong = _misfit("input", inputs, manifest.inputs) or _misfit("output", outputs, manifest.outputs)
            if wrong is None and {tensor.name for tensor in inputs} != {spec.name for spec in manifest.inputs}:
                wrong = f"the model takes {_named(manifest.inputs)}, only {_named(inputs)} is there"
            if wrong is None and not task_named(manifest.task).takes_text:  # a text a row may stand in a column
                wrong = _misshapen(inputs, manifest.inputs)
        except (ValueError, TypeError, ServingError) as error:
            wrong = str(error)
        if wrong is not None:
            raise InvalidArtifact(f"{file} does not fit the model {manifest.name}: case {number}: {wrong}")


def _misfit(what: str, tensors: Sequence[Tensor], specs: Sequence[TensorSpec]) -> str | None:
    """Which of the tensors the model has not got, or has as another datatype."""
    known = {spec.name: spec.datatype for spec in specs}
    for tensor in tensors:
        if (datatype := known.get(tensor.name)) is None:
            return f"the model has no {what} {tensor.name!r:.80}; it has {_named(specs)}"
        if tensor.datatype != datatype:
            return f"{what} {tensor.name!r} is {datatype}, not {tensor.datatype}"
    return None


def _misshapen(tensors: Sequence[Tensor], specs: Sequence[TensorSpec]) -> str | None:
    # What an output's shape is the graph decides when it runs, whatever it declares.
    wanted = {spec.name: spec.shape for spec in specs}
    for tensor in tensors:
        want, have = wanted[tensor.name], tensor.shape
        if len(want) != len(have) or any(a not in (-1, b) for a, b in zip(want, have, strict=True)):
            return f"input {tensor.name!r} is of shape {list(want)} (-1: any size), not {list(have)}"
    return None


def _named(tensors: Sequence[Tensor] | Sequence[TensorSpec]) -> str:
    return ", ".join(repr(tensor.name) for tensor in tensors)


def _mistake(document: Any) -> str | None:
    """What would keep the file from saying anything of the model; None where nothing does.

    What is misspelt is refused: a tolerance that nobody reads lets less or more pass than is thought.
    """
    match document:
        case {"cases": [_, *_] as cases}:
            pass
        case _:
            return "it has no cases"
    if unknown := sorted(document.keys() - {"cases", "tolerance"}):
        return f"it has {unknown[0]!r:.60} beside 'cases' and 'tolerance'"
    tolerance = document.get("tolerance", 0)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        return f"the tolerance must be a number of 0 or more, it is {tolerance!r:.40}"
    for number, case in enumerate(cases, 1):
        if not isinstance(case, dict):
            return f"case {number} is no object"
        for key in ("inputs", "outputs"):
            if not isinstance(case.get(key), list) or not case[key]:
                return f"case {number} has no {key}"
        if unknown := sorted(case.keys() - {"inputs", "outputs"}):
            return f"case {number} has {unknown[0]!r:.60} beside its inputs and outputs"
    return None
