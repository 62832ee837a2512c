"""What commands print: JSON for programs, tables for people."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Final, cast

import orjson
from rich.console import Console, RenderableType
from rich.table import Table

if TYPE_CHECKING:
    from storage.views import VersionView

WIDEST: Final = 1_000_000


class Unbreakable:
    """A stream that may be gone or full, for whoever has more to do than to print: what can't be written isn't."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def ignore_failures(stream: IO[str]) -> IO[str]:
    """`stream`, whose failures nobody hears of."""
    return cast(IO[str], Unbreakable(stream))


def print_json(value: Any) -> None:
    """`value` as JSON: dataclasses, pydantic models and times included."""
    text = orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    print(text.decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """`table`, printed."""
    print_whole(table(columns, rows))


def print_whole(shown: RenderableType) -> None:
    """Print it, folded only where a terminal has a width: in a pipe or a file a row is one line, however long."""
    width = None if sys.stdout.isatty() else WIDEST
    Console(highlight=False, width=width).print(shown)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table without lines, whose cells are shown as they are."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell).replace("[", "\\[") for cell in row))
    return table


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Names and values, one pair a line."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        print(f"{name.ljust(width)}  {value}")


def print_version(version: "VersionView", sentence: str, as_json: bool) -> None:
    """What became of a version: all of it as JSON, or one sentence."""
    if as_json:
        print_json(version)
    else:
        print(sentence)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json")
