"""`python docs/modules.py` prints docs/modules.md: what each module's docstring says first."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("wire", "service", "storage", "cache", "gateway", "model_service", "training", "headrace")
HEAD = """\
# Modules

Every module, and what its docstring says first. This page is made by `make reference`; `make check` fails where it is
out of date. How they work together is in [architecture.md](architecture.md)."""


def page() -> str:
    """The whole page, a table for each room."""
    return "\n".join([HEAD, *(line for room in ROOMS for line in _table(room)), ""])


def _table(room: str) -> Iterator[str]:
    yield f"\n## {room}\n"
    if about := _about(ROOT / room / "__init__.py"):
        yield f"{about}\n"
    yield "| module | what it is |"
    yield "|---|---|"
    for path in sorted((ROOT / room).rglob("*.py")):
        about = _about(path)
        if about and path != ROOT / room / "__init__.py":
            name = path.parent if path.name == "__init__.py" else path
            yield f"| `{name.relative_to(ROOT)}` | {about} |"


def _about(path: Path) -> str:
    """The first sentence of the module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return re.split(r"(?<=[.?])\s+(?=[A-Z`])", paragraph)[0].replace("|", r"\|")


if __name__ == "__main__":
    print(page(), end="")
