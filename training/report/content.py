"""What a report is made of, whichever form it is written in."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Lines:
    """A list of lines."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Cells as they are shown, a row each; numbers stand on the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """A plot as SVG. `title` says what it shows, and names its file."""

    title: str
    svg: str


@dataclass(frozen=True)
class Listing:
    """Text as it stands in a file."""

    text: str


Part = Text | Lines | Table | Figure | Listing


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    parts: Sequence[Part]


def number(value: object) -> str:
    """A figure in four digits, a count with its thousands, and nothing for what is not known."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)
