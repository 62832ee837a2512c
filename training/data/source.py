"""Where a recipe's data lie: in files, in an installed package, in a package to download, or on the hub."""

from pathlib import Path
from typing import Final

from training.recipe.block import RecipeError
from training.recipe.package import PACKAGE, in_package

FORMATS: Final = {
    ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
    ".txt": "text",
}  # fmt: skip
_PATTERN: Final = "*?["


def local(path: str, beside: Path) -> list[Path] | None:
    """The files that `path` names, sorted: itself, those that match it, or all in it; None for a name on the hub.

    A relative path begins at `beside`, the recipe's folder. Raises RecipeError where there is no such file.
    """
    found = place(path, beside)
    if found is None:
        return None
    if found.is_file():
        return [found]
    within = found.rglob("*") if found.is_dir() else found.parent.glob(found.name)
    files = sorted(file for file in within if file.is_file())
    if not files:
        raise RecipeError(f"datasets: {path}: there is no file {'in' if found.is_dir() else 'like'} {found}")
    return files


def place(path: str, beside: Path) -> Path | None:
    """The file, the folder or the pattern of files that `path` names; None for a name on the hub."""
    if path.startswith(PACKAGE):
        return _find_in_package(path)
    found = beside / Path(path).expanduser()
    if found.exists() or any(sign in found.name for sign in _PATTERN):
        return found
    if path.startswith((".", "/", "~")) or path.count("/") > 1 or format_of(found) is not None:
        raise RecipeError(f"datasets: {found} does not exist: name a file or a folder, or a data set on the hub")
    return None


def format_of(file: Path) -> str | None:
    """The format that a file's name says, packed with gzip or not."""
    return FORMATS.get((file.with_suffix("") if file.suffix == ".gz" else file).suffix.lower())


def _find_in_package(path: str) -> Path:
    found = in_package(path, f"datasets: {path}")
    if not found.exists() and not any(sign in found.name for sign in _PATTERN):
        raise RecipeError(f"datasets: {path}: the package has no {path.partition('/')[2]}")
    return found
