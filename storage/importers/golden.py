"""Golden cases that come beside a model: requests and answers that a version must reproduce before it is ready.

Whether they are the model's is found out in its trial, by the worker; here only whether the file can hold any.
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage.errors import InvalidArtifact
from storage.importers.draft import GOLDEN, Import, entry, validate

FORM = '{"cases": [{"inputs": [...], "outputs": [...]}], "tolerance": 1e-4}'
_MAX_BYTES = 64 * 2**20


def with_golden(imported: Import, file: Path) -> Import:
    """The model with the file as its golden cases, in place of any that it brought. Raises InvalidArtifact."""
    _check(file)
    path = imported.manifest.golden or GOLDEN
    files = dict(sorted({**imported.files, path: file}.items()))
    fields = imported.manifest.model_dump()
    entries = {kept["path"]: kept for kept in fields["files"]} | {path: entry(path, file).model_dump()}
    fields |= {"golden": path, "files": [entries[path] for path in files]}
    return replace(imported, manifest=validate(fields), files=files)


def _check(file: Path) -> None:
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
