"""The clean stage: fewer training rows, and better ones; in no row of any split the personal data that it may mask."""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from datasets import Dataset, load_from_disk

from training.clean import bands, rules
from training.clean.check import check
from training.clean.rules import Ruled
from training.clean.texts import Row, columns_of, join_text
from training.clean.verdict import Verdict
from training.data.compared import Compared
from training.recipe.block import RecipeError
from training.recipe.clean import Clean
from training.stage import Work
from training.tasks.open import open_task

DROPPED: Final = "dropped.jsonl"
TRAIN: Final = "train"

Judge = Callable[[Sequence[str]], tuple[dict[int, Verdict], dict[str, Any]]]  # by place among the texts; for the report


def run(work: Work) -> dict[str, Any]:
    """Write the rows, and `dropped.jsonl` with those that are not among them, why and with which score.

    What is returned counts training rows; `held_out` counts those of the other splits, which are masked only.
    """
    check(work.recipe)
    block = work.recipe.clean
    assert block is not None, "a recipe without the block has no such stage"
    splits = load_from_disk(str(work.rows))
    before: list[Row] = splits[TRAIN].to_list()
    judging: dict[str, list[Row]] = {name: part.to_list() for name, part in splits.items() if name != TRAIN}
    task = open_task(work.recipe.task)
    compared = Compared(task, work.recipe)
    numbers = compared.own if task.numeric_rows else ()
    columns = columns_of([name for name in splits[TRAIN].column_names if name not in numbers], block.columns)
    rows = dict(enumerate(before))
    dropped: dict[int, Verdict] = {}
    masked: dict[str, Ruled] = {}
    outcome: dict[str, Any] = {}
    if block.rules is not None:
        masked = {name: rules.mask(part, columns, block.rules) for name, part in judging.items()}
        held_out = {name: part.kept.values() for name, part in masked.items()}
        ruled = rules.apply(before, held_out, columns, block.rules, work.recipe.folder, compared)
        rows, dropped = ruled.rows, ruled.dropped
        outcome["rules"] = {**ruled.counts(), "dropped": _reasons(dropped)}
        outcome["held_out"] = {name: _counts(part) for name, part in masked.items()}
        work.say(f"clean: {len(dropped)} of {len(rows)} training rows break a rule")
    for name, judge in _judges(block, work.recipe.folder, work.recipe.seed).items():
        kept = _keep(rows, dropped)
        work.say(f"clean: {name}, {len(kept)} training rows")
        verdicts, counts = judge([join_text(rows[index], columns) for index in kept])
        outcome[name] = {**counts, "dropped": _reasons(verdicts)}
        dropped |= {kept[at]: verdict for at, verdict in verdicts.items()}
    kept = _keep(rows, dropped)
    left = {TRAIN: [rows[index] for index in kept]} | {
        name: _keep_held_out(name, part) for name, part in masked.items()
    }
    for name, those in left.items():
        if those:  # a split that had none stays as it is
            splits[name] = Dataset.from_list([dict(row) for row in those], splits[name].features)
    with (work.folder / DROPPED).open("w", encoding="utf-8") as file:
        file.writelines(_lines(TRAIN, before, rows, dropped, compared))
        for name, part in masked.items():
            file.writelines(_lines(name, judging[name], part.rows, part.dropped, compared))
    work.write_rows(splits)
    work.say(f"clean: {len(kept)} of {len(rows)} training rows are left")
    return {"rows": {"before": len(rows), "after": len(kept)}, "dropped": _reasons(dropped), **outcome}


def _judges(block: Clean, beside: Path, seed: int) -> dict[str, Judge]:
    """The stages after the rules, as far as the recipe has them."""
    found: dict[str, Judge] = {}
    if (semantic := block.semantic) is not None:
        from training.clean import quality

        found["semantic"] = lambda texts: quality.judge(texts, semantic, beside, seed)
    if (hard := block.hard) is not None:
        found["hard"] = lambda texts: bands.judge(bands.scores(texts, hard, beside, seed), hard)
    return found


def _keep(rows: Mapping[int, Row], dropped: Mapping[int, Verdict]) -> list[int]:
    kept = [index for index in rows if index not in dropped]
    if not kept:
        raise RecipeError(f"clean: no training row is left; dropped were {_reasons(dropped)}")
    return kept


def _keep_held_out(name: str, part: Ruled) -> list[Row]:
    """The rows of a held-out split that are not dropped. Raises RecipeError where none is left."""
    left = list(part.kept.values())
    if part.rows and not left:
        raise RecipeError(
            f"clean: no {name} row is left: each has its answer inside what is masked; take that kind out of "
            "rules.personal_data"
        )
    return left


def _counts(part: Ruled) -> dict[str, Any]:
    return {
        "rows": len(part.rows),
        "masked_rows": part.masked,
        "masks": dict(part.masks),
        "dropped": _reasons(part.dropped),
    }


def _reasons(dropped: Mapping[int, Verdict]) -> dict[str, int]:
    return dict(Counter(verdict.reason for verdict in dropped.values()).most_common())


def _lines(
    split: str, before: Sequence[Row], rows: Mapping[int, Row], dropped: Mapping[int, Verdict], compared: Compared
) -> Iterator[str]:
    """One for each dropped row, as it was rewritten, with the id and the place in its split that it had in the data."""
    for index, verdict in sorted(dropped.items()):
        line = {"id": compared.id(before[index]), "split": split, "index": index, **asdict(verdict), "row": rows[index]}
        yield json.dumps(line, ensure_ascii=False, default=lambda data: b64encode(data).decode()) + "\n"
