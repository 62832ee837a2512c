"""Lines and cells of text files, packed with gzip or not, as they stand there."""

import csv
import gzip
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from training.block import RecipeError

_ENCODING: Final = "utf-8-sig"
CSV: Final = frozenset(
    {"delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting", "skipinitialspace", "strict"}
)
_ESCAPED: Final = ("\udc80", "\udcff")  # what a byte becomes that cannot be decoded


def cells(path: Path, options: Mapping[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that has any, with its number. Raises RecipeError where `csv` finds a quote astray."""
    tabbed = {"delimiter": "\t"} if path.with_suffix("").suffix == ".tsv" or path.suffix == ".tsv" else {}
    how = {"strict": True, **tabbed, **{name: value for name, value in options.items() if name in CSV}}
    csv.field_size_limit(sys.maxsize)  # a cell may be a whole document
    reader = csv.reader(lines(path, options), **how)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise RecipeError(f"{path}, line {reader.line_num}: {error}; see options: quoting, quotechar") from error


def lines(path: Path, options: Mapping[str, Any]) -> Iterator[str]:
    """The lines as they are, with their ends. Raises RecipeError at bytes that the encoding does not know."""
    encoding = options.get("encoding", _ENCODING)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding=encoding, errors="surrogateescape", newline="") as file:
        for number, line in enumerate(file, 1):
            if wrong := [sign for sign in line if _ESCAPED[0] <= sign <= _ESCAPED[1]]:
                name = encoding.removesuffix("-sig")
                raise RecipeError(
                    f"{path}, line {number}: byte 0x{ord(wrong[0]) - 0xDC00:02x} at {line.index(wrong[0]) + 1} is not "
                    f"{name}: options: {{encoding: ...}} says what it is"
                )
            yield line
