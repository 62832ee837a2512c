"""Files and folders inside installed packages, as a recipe names them: `package:<import name>/<path>`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from training.recipe.block import RecipeError

PACKAGE: Final = "package:"


def in_package(source: str, complaint: str) -> Path:
    """The path that `source` names, whether there is something or not.

    Raises RecipeError, which begins with `complaint`, where the package is not installed.
    """
    package, _, path = source.removeprefix(PACKAGE).partition("/")
    spec = find_spec(package)  # found, not imported: data files need no working code beside them
    if spec is None or spec.origin is None:
        raise RecipeError(f"{complaint}: the package {package.replace('_', '-')} is not installed")
    return Path(spec.origin).parent / path
