"""Where a recipe's models lie: in a folder, in an installed package, or on the hub."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from training.block import RecipeError

if TYPE_CHECKING:
    from training.recipe import Recipe

PACKAGE = "package:"


def locate(source: str, beside: Path) -> str:
    """What `from_pretrained` takes for `source`; a relative path begins at `beside`, the recipe's folder.

    `package:<import name>/<path>` is a folder inside an installed package. What is no folder is a name on the hub.
    Raises RecipeError where a package or its folder is missing, or a path that can be no name on the hub.
    """
    if source.startswith(PACKAGE):
        return str(_in_package(source))
    folder = beside / Path(source).expanduser()
    if folder.is_dir():
        return str(folder)
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise RecipeError(f"{folder} is not a folder: name one, or a model on the hub")
    return source


def pinned(source: str, revision: str | None, beside: Path, gguf_file: str | None = None) -> tuple[str, dict[str, str]]:
    """What `locate` finds, and what `from_pretrained` takes beside it: a commit, a tag or a branch of the hub, and the
    file in it.

    Raises RecipeError where the source lies here, whose state no revision says.
    """
    found = locate(source, beside)
    if revision is not None and Path(found).is_dir():
        raise RecipeError(f"{source} lies on this machine and has no revisions: take its revision out of the recipe")
    return found, {name: value for name, value in (("revision", revision), ("gguf_file", gguf_file)) if value}


def base_source(recipe: "Recipe") -> tuple[str, dict[str, str]]:
    """The same for the recipe's base, which it has."""
    block = recipe.model
    assert block.base is not None, "a model from 'config' alone has none"
    return pinned(block.base, block.revision, recipe.folder, block.gguf_file)


def _in_package(source: str) -> Path:
    package, _, path = source.removeprefix(PACKAGE).partition("/")
    spec = find_spec(package)  # found, not imported: data files need no working code beside them
    if spec is None or spec.origin is None:
        raise RecipeError(f"{source}: the package {package.replace('_', '-')} is not installed")
    folder = Path(spec.origin).parent / path
    if not folder.is_dir():
        raise RecipeError(f"{source}: {folder} is not a folder")
    return folder
