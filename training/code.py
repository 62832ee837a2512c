"""Which code a stage's result depends on: its own, and all of training that this imports, and so on."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_TRAINING: Final = Path(__file__).parent
# It imports every block there is. What a stage obeys of a recipe is in its fingerprint as values, block by block.
_WHOLE_RECIPE: Final = "training.recipe.recipe"


def digest_of(package: str) -> str:
    """The sha256 of all that code: 64 hex digits."""
    found = hashlib.sha256()
    for name, path in sorted(modules(package).items()):
        found.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def modules(package: str) -> dict[str, Path]:
    """The modules of the package and those that they import of training, wherever they do, each with its file.

    Imports for type checking do not count. What is named otherwise than in an import has to be inside the package.
    """
    spec = find_spec(package)
    assert spec is not None, f"there is no package {package}"
    assert spec.origin is not None, f"{package} has no __init__.py"
    folder = Path(spec.origin).parent
    found: dict[str, Path] = {}
    left = {_name(package, path.relative_to(folder)): path for path in folder.rglob("*.py")}
    while left:
        found |= left
        named = {name for path in left.values() for name in _imports(path.read_bytes())} - {_WHOLE_RECIPE}
        left = {name: path for name in named - found.keys() if (path := _file(name)) is not None}
    return found


def _name(package: str, path: Path) -> str:
    parts = path.parent.parts if path.name == "__init__.py" else path.with_suffix("").parts
    return ".".join((package, *parts))


def _file(name: str) -> Path | None:
    """Where the module of training lies; None for what is no module, as the name of a function is none."""
    path = _TRAINING.joinpath(*name.split(".")[1:])
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


@cache
def _imports(code: bytes) -> frozenset[str]:
    """What may be modules of training among the names that the code imports, and the packages that these are in."""
    names: set[str] = set()
    for node in _nodes(ast.parse(code)):
        match node:
            case ast.Import(names=aliases):
                names.update(alias.name for alias in aliases)
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                names.update(f"{module}.{alias.name}" for alias in aliases)
    parts = [name.split(".") for name in names if name.split(".")[0] == "training"]
    return frozenset(".".join(steps[:count]) for steps in parts for count in range(1, len(steps) + 1))


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _nodes(node)
