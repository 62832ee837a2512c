"""What of a row clean compares: the same as data, after it has changed the text."""

from pathlib import Path

from tests.training.clean_stage import Cleaned, by_rules, of
from training.data.canonical import row_id

LONG = "The plot is thin, the acting is good and the music is better than both of them"


def test_a_training_row_that_masks_make_ask_what_a_test_row_asks_is_dropped_whatever_its_answer(tmp_path: Path) -> None:
    rows = [
        {"source": "mail a@example.com", "target": "schreib a@example.com"},
        {"source": "Not bad", "target": "Nicht schlecht"},
    ]
    test = [{"source": "mail b@example.com", "target": "eine Mail an b@example.com"}]
    found = Cleaned(tmp_path, rows, {}, test, task="translation")
    assert found.rows == rows[1:]
    assert found.reasons() == {0: "held-out"}


def test_what_a_recipe_takes_along_makes_no_row_another(tmp_path: Path) -> None:
    rows = of("mail a@example.com", "Pas mal", "pas  mal", "It is so-so.", "It is so-so.", f"{LONG}.", f"{LONG}!")
    rows[4]["label"] = "b"
    every = [{**row, "id": at, "source": f"page {at}"} for at, row in enumerate([*rows, *of("mail b@example.com")])]
    found = Cleaned(tmp_path, every[:-1], {}, every[-1:])
    assert found.reasons() == {0: "held-out", 2: "duplicate", 3: "conflict", 4: "conflict", 6: "near-duplicate"}


def test_a_dropped_row_has_the_id_that_suspects_and_answers_know_it_by(tmp_path: Path) -> None:
    texts = ["by a@example.com", "A film that is long enough."]
    rows = [{**row, "id": at} for at, row in enumerate(of(*texts))]
    (line,) = by_rules(tmp_path, rows, length={"min": 20}).dropped
    assert line["id"] == row_id({"text": texts[0]})
    assert line["row"] == rows[0]
