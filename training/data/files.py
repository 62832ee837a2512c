"""Reads rows out of files: each with the number of its line, or its place, from one.

They are read here and not by pandas or pyarrow, which guess types, take "NA" for nothing, and name no line.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, Final

from training.data.cells import CSV, cells, lines
from training.data.pixels import read_pixels
from training.data.rows import Numbered
from training.data.value import require_text, short
from training.recipe.block import RecipeError, check_keys

_DELIMITERS: Final = (";", "\t", "|")
Reader = Callable[[Path, Mapping[str, Any]], Iterator[Numbered]]


def read_csv(path: Path, options: Mapping[str, Any]) -> Iterator[Numbered]:
    """Every cell is a string. Raises RecipeError where a line has more or fewer cells than the header."""
    check_keys(options, CSV | {"encoding", "header"}, "datasets.options", "csv.reader")
    header: list[str] | None = options.get("header")
    if header is not None and not (isinstance(header, list) and all(isinstance(name, str) for name in header)):
        raise RecipeError(
            f"datasets.options.header: {header!r} is no list of names: it names the columns of a file whose first line "
            "does not; leave it out where that does"
        )
    for number, row in cells(path, options):
        if header is None:
            header = [name.strip() for name in row]
            _check_cut(path, header, options)
            if len(set(header)) < len(header):
                raise RecipeError(f"{path}: two columns have the same name: {', '.join(header)}")
        elif len(row) != len(header):
            raise RecipeError(f"{path}, line {number}: {len(row)} cells, but there are {len(header)} columns")
        else:
            yield number, dict(zip(header, row, strict=True))


def _check_cut(path: Path, header: list[str], options: Mapping[str, Any]) -> None:
    """Raises RecipeError where the names of the columns are in one cell, with what stands between them."""
    found = next((sign for sign in _DELIMITERS if sign in header[0]), None)
    if len(header) == 1 and found is not None and "delimiter" not in options:
        cut = f"`options: {{delimiter: {json.dumps(found)}}}` cuts it"
        raise RecipeError(f"{path}: the first line is one cell, {short(header[0])}: {cut}")


def read_json(path: Path, options: Mapping[str, Any]) -> Iterator[Numbered]:
    """One list of objects, or an object that has it under the option `field`; a dot leads into an object in it."""
    check_keys(options, ("encoding", "field"), "datasets.options", "the format json")
    text = "".join(lines(path, options))
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        hint = ": `format: jsonl` reads an object in each line" if error.msg == "Extra data" else ""
        raise RecipeError(f"{path}, line {error.lineno}: not JSON: {error.msg}{hint}") from error
    whole, field = found, options.get("field")
    if not isinstance(field, str | None):
        raise RecipeError(f"{path}: options: {{field: {field!r}}} is no name: a.b is the list b in the object a")
    for step in field.split(".") if field else ():
        found = found.get(step) if isinstance(found, dict) else None
    if not isinstance(found, list):
        lists = next(_lists_in(whole), None)
        hint = f"; options: {{field: {lists}}} takes one in it" if lists else ""
        if isinstance(found, dict) and not lists and any(isinstance(value, list | dict) for value in found.values()):
            hint = '; this looks like one object of columns: with pandas write it with `orient="records"`'
        raise RecipeError(f"{path} must hold a list of objects{hint}")
    yield from _complete([(number, _object(row, path, f"row {number}")) for number, row in enumerate(found, 1)])


def _lists_in(found: Any) -> Iterator[str]:
    """The ways to lists of objects in an object, the shortest first."""
    inner = [(str(key), value) for key, value in found.items()] if isinstance(found, dict) else []
    yield from (key for key, value in inner if isinstance(value, list) and value and isinstance(value[0], dict))
    yield from (f"{key}.{way}" for key, value in inner for way in _lists_in(value))


def read_jsonl(path: Path, options: Mapping[str, Any]) -> Iterator[Numbered]:
    """An object in each line."""
    check_keys(options, ("encoding",), "datasets.options", "the format jsonl")
    rows = []
    for number, line in enumerate(lines(path, options), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise RecipeError(f"{path}, line {number}: not JSON: {error.msg} at {error.colno}") from error
        rows.append((number, _object(row, path, f"line {number}")))
    yield from _complete(rows)


def read_text(path: Path, options: Mapping[str, Any]) -> Iterator[Numbered]:
    """A `text` in each line that is not blank."""
    check_keys(options, ("encoding",), "datasets.options", "the format text")
    for number, line in enumerate(lines(path, options), 1):
        if line.strip():
            yield number, {"text": line.rstrip("\r\n")}


def read_parquet(path: Path, options: Mapping[str, Any]) -> Iterator[Numbered]:
    """Rows as pyarrow gives them."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    check_keys(options, signature(ParquetFile).parameters, "datasets.options", "pyarrow.parquet.ParquetFile")
    try:
        with ParquetFile(path, **options) as file:
            yield from enumerate((row for batch in file.iter_batches() for row in batch.to_pylist()), 1)
    except pa.ArrowInvalid as error:
        raise RecipeError(f"{path}: not Parquet: {error}") from error


def _explain_errors(read: Reader) -> Reader:
    """The reader, and RecipeError for all else that a library raises on its way: with the file, and the last row.

    JSON is read whole before its first row: without a row, nothing is said of the place.
    """

    def explain(path: Path, options: Mapping[str, Any]) -> Iterator[Numbered]:
        place = ""
        try:
            for number, row in read(path, options):
                place = f", after row {number}"
                yield number, row
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise RecipeError(f"{path}{place}: {error}: it is broken or cut short: fetch or pack it anew") from error
        except (TypeError, LookupError, ValueError, ArithmeticError, OSError) as error:
            given = ", ".join(f"{name}: {value!r}" for name, value in options.items())
            raise RecipeError(
                f"{path}{place}: {error}: look there, and at the recipe's format and options: {{{given}}}"
            ) from error

    return explain


READERS: Final[Mapping[str, Reader]] = {
    "csv": _explain_errors(read_csv),
    "json": _explain_errors(read_json),
    "jsonl": _explain_errors(read_jsonl),
    "parquet": _explain_errors(read_parquet),
    "pixels": _explain_errors(read_pixels),
    "text": _explain_errors(read_text),
}


def _complete(rows: list[Numbered]) -> Iterator[Numbered]:
    """Each with all the columns that any of them has: what a row does not mention is missing in it."""
    names = {name: None for _, row in rows for name in row}
    return ((number, {**names, **row}) for number, row in rows)


def _object(row: Any, path: Path, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise RecipeError(f"{path}, {where}: {type(row).__name__}, where an object with the columns is wanted")
    try:
        require_text(row)
    except ValueError as error:
        raise RecipeError(f"{path}, {where}: {error}") from error
    return row
