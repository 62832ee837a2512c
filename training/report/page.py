"""A report as one HTML file: nothing is loaded from anywhere."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from training.report.content import Figure, Lines, Listing, Part, Section, Table, Text

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d2429 }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #dfe4e7 }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #e6e9eb; text-align: right; vertical-align: top }
th:first-child, td:first-child { text-align: left } th { color: #5a6771; font-weight: 600 }
figure { margin: 1rem 0 } figcaption { color: #5a6771 } svg { max-width: 100%; height: auto }
pre { background: #f5f7f8; padding: .8rem; overflow-x: auto; font-size: 13px }
@media (prefers-color-scheme: dark) { svg { background: #fff } }
"""


def write(folder: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write `report.html` into the folder."""
    body = "\n".join(
        line for section in sections for line in (f"<h2>{escape(section.title)}</h2>", *map(_part, section.parts))
    )
    path = folder / "report.html"
    path.write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )
    return path


def _part(part: Part) -> str:
    match part:
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Lines(lines):
            return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
        case Table(head, rows):
            return f"<table><thead>{_row('th', head)}</thead><tbody>{''.join(_rows(rows))}</tbody></table>"
        case Figure(title, svg):
            return f"<figure>{svg}<figcaption>{escape(title)}</figcaption></figure>"
        case Listing(text):
            return f"<pre>{escape(text)}</pre>"


def _rows(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    return (_row("td", row) for row in rows)


def _row(cell: str, row: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{cell}>{escape(text)}</{cell}>' for text in row)}</tr>"
