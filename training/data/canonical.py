"""One form for equal rows, whatever file they came from: what fingerprints, duplicates and row ids go by."""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

Row = Mapping[str, Any]

LABEL: Final = "label"


def row_id(row: Row) -> str:
    """What a row is called in lists that people work through: 16 hex digits, the same for its copies and any label.

    `row` has the columns that its task works with: copies may differ in what else is taken along.
    """
    return normal({name: value for name, value in row.items() if name != LABEL})[:16]


def fingerprint(rows: Iterable[Row]) -> str:
    """Of rows in their order: 64 hex digits."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(bytes.fromhex(_digest(row)))
    return digest.hexdigest()


def normal(row: Row) -> str:
    """The same for rows that differ only in case, spacing, or how Unicode writes the same characters."""
    return _digest({name: _fold(value) for name, value in row.items() if value is not None})


def _digest(row: Row) -> str:
    return hashlib.sha256(_json(row).encode("utf-8", "surrogatepass")).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(_form(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _form(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case bytes():
            return {"sha256": hashlib.sha256(value).hexdigest()}
        case {"path": path, "bytes": data, **rest} if not rest:  # an image or a sound: what it shows, not where it lies
            return _form(Path(path).read_bytes() if data is None else data)
        case Mapping():
            return {name: _form(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_form(inner) for inner in value]
    return value


def _fold(value: Any) -> Any:
    match value:
        case str():
            return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
        case list() | tuple():
            return [_fold(inner) for inner in value]
        case {"path": _, "bytes": _}:
            return value
        case Mapping():
            return {name: _fold(inner) for name, inner in value.items()}
    return value
