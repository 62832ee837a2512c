"""Lines and cells of text files, packed with gzip or not, as they stand there."""

import codecs
import csv
import gzip
import io
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

from training.recipe.block import RecipeError

_ENCODING: Final = "utf-8"
# What a file may begin with to say how it is encoded, and the encoding that it says. The longer ones are first.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CSV: Final = frozenset(
    {"delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting", "skipinitialspace", "strict"}
)
_SEPARATOR: Final = re.compile(r"sep=(.)\r?\n?")
_ESCAPED: Final = ("\udc80", "\udcff")  # what a byte becomes that cannot be decoded


def cells(path: Path, options: Mapping[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that has any, with its number. Raises RecipeError where `csv` finds a quote astray."""
    tabbed = {"delimiter": "\t"} if path.with_suffix("").suffix == ".tsv" or path.suffix == ".tsv" else {}
    how = {"strict": True, **tabbed, **{name: value for name, value in options.items() if name in CSV}}
    csv.field_size_limit(sys.maxsize)  # a cell may be a whole document
    rows = lines(path, options)
    first, before = next(rows, ""), 0
    if (said := _SEPARATOR.fullmatch(first)) is not None:  # by which Excel knows the delimiter
        how = {"delimiter": said[1], **how}
        first, before = next(rows, ""), 1
    reader = csv.reader(chain((first,), rows), **how)
    try:
        for row in reader:
            if row:
                yield before + reader.line_num, row
    except csv.Error as error:
        raise RecipeError(
            f"{path}, line {before + reader.line_num}: {error}; see options: quoting, quotechar"
        ) from error


def lines(path: Path, options: Mapping[str, Any]) -> Iterator[str]:
    """The lines as they are, with their ends. Raises RecipeError at bytes that the encoding does not know.

    A mark at the beginning (a BOM) says how the file is encoded, unless the options do, and is none of its text.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as packed:
        file: Any = packed
        mark, said = next((found for found in _MARKS if file.peek(4).startswith(found[0])), (b"", _ENCODING))
        encoding = options.get("encoding", said)
        if said == _ENCODING or _same(encoding, said):  # what Windows writes before other code pages too
            file.read(len(mark))
        text = io.TextIOWrapper(file, encoding, "surrogateescape", newline="")
        for number, line in enumerate(text, 1):
            if wrong := [sign for sign in line if _ESCAPED[0] <= sign <= _ESCAPED[1]]:
                raise RecipeError(
                    f"{path}, line {number}: byte 0x{ord(wrong[0]) - 0xDC00:02x} at {line.index(wrong[0]) + 1} is not "
                    f"{encoding.removesuffix('-sig')}: options: {{encoding: ...}} says what it is"
                )
            yield line


def _same(encoding: str, other: str) -> bool:
    return codecs.lookup(encoding).name == codecs.lookup(other).name
