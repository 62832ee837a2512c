"""Hashes the files that a recipe names, so that a changed file is a changed input."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.hashing import sha256_of
from training.data.source import local
from training.recipe.block import RecipeError, all_of
from training.recipe.data import PIP, DatasetBlock
from training.recipe.package import PACKAGE

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe


def digests(recipe: "Recipe") -> dict[str, str]:
    """The sha256 of every file that the recipe's data sets name; for what is fetched, what pins it."""
    found: dict[str, str] = {}
    all_of(
        *(
            lambda path=path, block=block: found.update(_digests(path, block, recipe))
            for block in recipe.datasets
            for path in (*block.paths, *((block.annotations,) if block.annotations else ()))
        )
    )
    return found


def hash_named(block: Any, beside: Path) -> dict[str, str]:
    """The sha256 of every file, or file in a folder, that a block names anywhere: models, samples, lists of words."""
    found: dict[str, str] = {}
    for text in sorted(set(_texts(block))):
        path = beside / text
        if text.startswith(PACKAGE) or (path.exists() and not beside.is_relative_to(path.resolve())):
            try:
                found.update(_of(text, local(text, beside) or []))
            except RecipeError:
                continue  # which the stage that opens it says better
    return found


def _digests(path: str, block: DatasetBlock, recipe: "Recipe") -> dict[str, str]:
    if path.startswith(PIP):
        return {path: block.sha256 or ""}
    files = local(path, recipe.folder)
    return {path: str(block.options.get("revision"))} if files is None else _of(path, files)


def _of(path: str, files: list[Path]) -> dict[str, str]:
    return {f"{path}: {number} {file.name}": sha256_of(file) for number, file in enumerate(files)}


def _texts(block: Any) -> Iterator[str]:
    match block:
        case str() if 0 < len(block) < 256 and "\0" not in block:
            yield block
        case dict():
            for value in block.values():
                yield from _texts(value)
        case list() | tuple():
            for value in block:
                yield from _texts(value)
