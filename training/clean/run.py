"""The clean stage: fewer training rows, and better ones."""

import json
import shutil
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from datasets import Dataset, DatasetDict, load_from_disk

from training.block import RecipeError
from training.clean import bands, rules
from training.clean.block import Clean
from training.clean.check import check
from training.clean.texts import Row, columns_of, whole
from training.clean.verdict import Verdict
from training.data.canonical import row_id
from training.stage import ROWS, Work

DROPPED: Final = "dropped.jsonl"

Judge = Callable[[Sequence[str]], tuple[dict[int, Verdict], dict[str, Any]]]  # by place among the texts; for the report


def run(work: Work) -> dict[str, Any]:
    """Write the rows, and `dropped.jsonl` with those that are not among them, why and with which score."""
    check(work.recipe)
    block = work.recipe.clean
    assert block is not None, "a recipe without the block has no such stage"
    splits = load_from_disk(str(work.rows))
    before: list[Row] = splits["train"].to_list()
    columns = columns_of(splits["train"].column_names, block.columns)
    rows = dict(enumerate(before))
    dropped: dict[int, Verdict] = {}
    outcome: dict[str, Any] = {}
    if block.rules is not None:
        held_out = {name: part.to_list() for name, part in splits.items() if name != "train"}
        ruled = rules.apply(before, held_out, columns, block.rules, work.recipe.folder)
        rows, dropped, outcome["rules"] = ruled.rows, ruled.dropped, ruled.counts()
        work.say(f"clean: {len(dropped)} of {len(rows)} rows break a rule")
    for name, judge in _judges(block, work.recipe.folder, work.recipe.seed).items():
        kept = _kept(rows, dropped)
        work.say(f"clean: {name}, {len(kept)} rows")
        verdicts, outcome[name] = judge([whole(rows[index], columns) for index in kept])
        dropped |= {kept[at]: verdict for at, verdict in verdicts.items()}
    kept = _kept(rows, dropped)
    _write(work.folder / DROPPED, before, rows, dropped)
    splits["train"] = Dataset.from_list([dict(rows[index]) for index in kept], splits["train"].features)
    _save(splits, work.folder / ROWS)
    reasons = Counter(verdict.reason for verdict in dropped.values())
    work.say(f"clean: {len(kept)} of {len(rows)} rows are left")
    return {"rows": {"before": len(rows), "after": len(kept)}, "dropped": dict(reasons.most_common()), **outcome}


def _judges(block: Clean, beside: Path, seed: int) -> dict[str, Judge]:
    """The stages after the rules, as far as the recipe has them."""
    found: dict[str, Judge] = {}
    if (semantic := block.semantic) is not None:
        from training.clean import quality

        found["semantic"] = lambda texts: quality.judge(texts, semantic, beside, seed)
    if (hard := block.hard) is not None:
        found["hard"] = lambda texts: bands.judge(bands.scores(texts, hard, beside, seed), hard)
    return found


def _kept(rows: dict[int, Row], dropped: dict[int, Verdict]) -> list[int]:
    kept = [index for index in rows if index not in dropped]
    if not kept:
        reasons = Counter(verdict.reason for verdict in dropped.values())
        raise RecipeError(f"clean: no training row is left; dropped were {dict(reasons.most_common())}")
    return kept


def _write(path: Path, before: Sequence[Row], rows: dict[int, Row], dropped: dict[int, Verdict]) -> None:
    """A line for each dropped row, as it was rewritten, with the id and the place that it had in the data."""
    with path.open("w", encoding="utf-8") as file:
        for index, verdict in sorted(dropped.items()):
            line = {"id": row_id(before[index]), "index": index, **asdict(verdict), "row": rows[index]}
            file.write(json.dumps(line, ensure_ascii=False, default=lambda data: b64encode(data).decode()) + "\n")


def _save(splits: DatasetDict, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    # A split without rows would be written in no file at all, which cannot be read back.
    splits.save_to_disk(str(folder), num_shards={name: None if len(part) else 1 for name, part in splits.items()})
