"""Rows of what `datasets` itself opens: data sets on the hub, in a folder as on the hub, or saved to disk."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any, Final

from training.data.rows import Numbered
from training.recipe.block import RecipeError, check_keys
from training.recipe.data import SplitName

SPLITS: Final[Mapping[str, SplitName]] = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "eval": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


def read_hub(source: str, options: Mapping[str, Any]) -> dict[SplitName | None, Any]:
    """What `datasets.load_dataset` gives for a name or a folder, or `load_from_disk` for what it had saved there."""
    import datasets

    saved = Path(source)
    try:
        if (saved / "dataset_dict.json").is_file() or (saved / "state.json").is_file():
            check_keys(options, (), "datasets.options", "datasets.load_from_disk")
            return _by_split(datasets.load_from_disk(source), source)
        _check_options(source, options)
        return _by_split(datasets.load_dataset(source, **options), source)
    except (ValueError, TypeError, OSError, datasets.exceptions.DatasetsError) as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""  # of what "could not be generated" alone is said
        raise RecipeError(f"datasets: {source}: {error}{cause}") from error


def for_load_dataset(options: Mapping[str, Any]) -> bool:
    """Whether there is one among them that `datasets.load_dataset` itself takes."""
    from datasets import load_dataset

    return bool(options.keys() & signature(load_dataset).parameters.keys())


def number_rows(rows: Any) -> Iterator[Numbered]:
    """The rows of a `datasets.Dataset`: classes by their names, images and audio as bytes or a path."""
    import datasets

    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image | datasets.Audio):
            rows = rows.cast_column(name, type(feature)(decode=False))
    classes = {name: named for name, feature in rows.features.items() if (named := _names(feature)) is not None}
    for number, row in enumerate(rows, 1):
        yield number, {**row, **{name: _name_classes(row[name], names) for name, names in classes.items()}}


def _check_options(source: str, options: Mapping[str, Any]) -> None:
    """What `load_dataset` does not take itself goes to the reader of the files' format, which is to know it."""
    import datasets

    known = set(signature(datasets.load_dataset).parameters) - {"path", "config_kwargs"}
    if options.keys() <= known:
        return
    taken = signature(datasets.load_dataset_builder).parameters
    builder = datasets.load_dataset_builder(source, **{name: options[name] for name in options if name in taken})
    known |= {field.name for field in fields(builder.config)}
    check_keys(options, known, "datasets.options", "datasets.load_dataset")


def _by_split(found: Any, source: str) -> dict[SplitName | None, Any]:
    import datasets

    if isinstance(found, datasets.Dataset):
        return {None: found}
    if len(found) == 1:  # where nothing was said of splits, it is called train
        return {None: next(iter(found.values()))}
    by_split: dict[SplitName | None, Any] = {}
    for name, rows in found.items():
        if SPLITS.get(name) is None or SPLITS[name] in by_split:
            raise RecipeError(
                f"datasets: {source} has the splits {', '.join(found)}: options: {{split: ...}} takes one of them, "
                "and 'split' says what it is for"
            )
        by_split[SPLITS[name]] = rows
    return by_split


def _names(feature: Any) -> list[str] | None:
    """The classes of a column of class numbers, or of lists of them."""
    found = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
    return list(found) if found else None


def _name_classes(value: Any, names: list[str]) -> Any:
    match value:
        case None:
            return None
        case int():
            return names[value] if value >= 0 else None  # -1 is how a hidden test label is written
        case _:
            return [_name_classes(one, names) for one in value]
