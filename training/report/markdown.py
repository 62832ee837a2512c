"""A report as Markdown, its figures in files beside it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from training.report.content import Figure, Lines, Listing, Part, Section, Table, Text

FIGURES: Final = "figures"
_SPECIAL: Final = re.compile(r"([\\|*_`<>])")


def write(folder: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write `report.md` and `figures/*.svg` into the folder."""
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    lines = [f"# {_escape(title)}", ""]
    for section in sections:
        lines += [f"## {_escape(section.title)}", ""]
        for part in section.parts:
            lines += [*_part(part, folder), ""]
    path = folder / "report.md"
    path.write_text("\n".join(lines))
    return path


def _part(part: Part, folder: Path) -> Iterator[str]:
    match part:
        case Text(text):
            yield _escape(text)
        case Lines(lines):
            yield from (f"- {_escape(line)}" for line in lines)
        case Table(head, rows):
            yield f"| {' | '.join(map(_escape, head))} |"
            yield f"|{'|'.join(['---', *['---:'] * (len(head) - 1)])}|"
            yield from (f"| {' | '.join(map(_escape, row))} |" for row in rows)
        case Figure(title, svg):
            name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
            (folder / FIGURES / f"{name}.svg").write_text(svg)
            yield f"![{_escape(title)}]({FIGURES}/{name}.svg)"
        case Listing(text):
            yield from ("```yaml", text.rstrip().replace("```", "'''"), "```")


def _escape(text: str) -> str:
    """What came from rows and recipes is shown as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
