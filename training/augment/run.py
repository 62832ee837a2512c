"""The augment stage: more training rows, made of those there are."""

from collections.abc import Sequence
from typing import Any, Final

from datasets import Dataset, concatenate_datasets, load_from_disk

from training.augment import image, text
from training.augment.check import check, parts
from training.augment.copies import Copy
from training.recipe.augment import ImageAugment, TextAugment
from training.recipe.block import RecipeError
from training.stage import Work
from training.tasks.open import open_task

EXAMPLES: Final = 3


def run(work: Work) -> dict[str, Any]:
    """Write the rows: the training rows and their copies, and the others as they are."""
    check(work.recipe)
    block = work.recipe.augment
    assert block is not None, "a recipe without the block has no such stage"
    splits = load_from_disk(str(work.rows))
    train = splits["train"]
    made: list[Copy] = []
    replaced: set[int] = set()
    outcome: dict[str, Any] = {}
    texts, images = parts(block, list(open_task(work.recipe.task).columns))
    if texts is not None:
        made, outcome["text"] = _texts(train, texts, work)
        replaced |= {copy.index for copy in made} if texts.params.replace else set()
    if images is not None:
        copies, outcome["image"] = _images(train, images, work)
        made += copies
        replaced |= {copy.index for copy in copies} if images.params.replace else set()
    for name, given, taken in (("text", block.text_augment, texts), ("image", block.image_augment, images)):
        if given is not None and taken is None:
            work.say(f"augment: {name}_augment is left out, as the rows have nothing for it")
            outcome["left_out"] = f"{name}_augment"
    if not made:
        raise RecipeError("augment: not one row came out different: give other methods or params, or leave it out")
    kept = train.select([index for index in range(len(train)) if index not in replaced])
    splits["train"] = concatenate_datasets([kept, Dataset.from_list([copy.row for copy in made], train.features)])
    work.write_rows(splits)
    return {"rows": {"before": len(train), "after": len(splits["train"])}, **outcome}


def _texts(train: Dataset, block: TextAugment, work: Work) -> tuple[list[Copy], dict[str, Any]]:
    columns = text.columns_of(train.column_names, block.params.columns)
    rows: list[dict[str, Any]] = train.to_list()
    language = block.params.language or text.language_of([row[columns[0]] for row in rows])
    made: list[Copy] = []
    outcome: dict[str, Any] = {"language": language}
    for name, rewrite in text.methods(block, language, work.recipe.folder, work.recipe.seed).items():
        work.say(f"augment: {name} of {len(rows)} rows, in {language}")
        copies = list(text.copies(rows, columns, rewrite))
        outcome[name] = {
            "made": len(copies),
            "unchanged_rows": len(rows) - len({copy.index for copy in copies}),
            "examples": _examples(rows, copies, columns),
        }
        made += copies
    return made, outcome


def _images(train: Dataset, block: ImageAugment, work: Work) -> tuple[list[Copy], dict[str, Any]]:
    image.check_columns(train.column_names, block)
    work.say(f"augment: {', '.join(block.methods)} of {len(train)} images")
    decoded = (row[image.COLUMN] for row in train.select_columns([image.COLUMN]))
    copies = list(image.copies(train.to_list(), decoded, block, work.recipe.seed))
    return copies, {"methods": list(block.methods), "made": len(copies)}


def _examples(rows: Sequence[dict[str, Any]], copies: Sequence[Copy], columns: Sequence[str]) -> list[dict[str, str]]:
    """The first ones, to be read by a person who wants to know whether they still say the same."""
    return [
        {"before": rows[copy.index][name], "after": copy.row[name]}
        for copy in copies[:EXAMPLES]
        for name in columns[:1]
    ]
