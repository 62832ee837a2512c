"""Where a recipe's models lie: in a folder, in an installed package, or on the hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub.errors import StrictDataclassError

from training.recipe.block import RecipeError
from training.recipe.package import PACKAGE, in_package

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe


def locate(source: str, beside: Path) -> str:
    """What `from_pretrained` takes for `source`; a relative path begins at `beside`, the recipe's folder.

    `package:<import name>/<path>` is a folder inside an installed package. What is no folder is a name on the hub.
    Raises RecipeError where a package or its folder is missing, or a path that can be no name on the hub.
    """
    if source.startswith(PACKAGE):
        folder = in_package(source, source)
        if not folder.is_dir():
            raise RecipeError(f"{source}: {folder} is not a folder")
        return str(folder)
    folder = beside / Path(source).expanduser()
    if folder.is_dir():
        return str(folder)
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise RecipeError(f"{folder} is not a folder: name one, or a model on the hub")
    return source


def pin_source(
    source: str, revision: str | None, beside: Path, gguf_file: str | None = None
) -> tuple[str, dict[str, str]]:
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
    return pin_source(block.base, block.revision, recipe.folder, block.gguf_file)


@contextmanager
def under_key(where: str) -> Iterator[None]:
    """Begin what is said of a model that can't be had with the key that names it."""
    try:
        yield
    except (RecipeError, OSError, ValueError, StrictDataclassError) as error:  # of a name, a way there, a value
        raise RecipeError(f"{where}: {error}") from error
