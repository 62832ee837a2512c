"""The report: everything the stages found, in one page and as Markdown."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from training.recipe import Recipe
from training.report import page
from training.report.content import Listing, Section, Table, Text, number
from training.report.write import render

EVALUATED = {
    "rows": 4,
    "confidence": 0.95,
    "served": "int8",
    "metrics": {
        name: {"accuracy": {"value": 0.75, "low": 0.5, "high": 1.0}, "f1": {"value": 0.7, "low": 0.4, "high": 0.9}}
        for name in ("torch", "fp32", "int8")
    },
    "classes": {
        "labels": ["no", "yes"],
        "confusion": [[2, 0], [1, 1]],
        "by_label": {name: {"precision": 0.5, "recall": 0.5, "f1": 0.5, "rows": 2} for name in ("no", "yes")},
        "reliability": [{"low": 0.8, "high": 0.9, "count": 4, "score": 0.85, "right": 0.75}],
        "calibration_error": 0.1,
    },
    "mistakes": [{"text": "<b>not</b> | bad", "label": "yes", "answer": "no", "score": 0.9}],
}
COMPARED = {
    "url": "http://127.0.0.1:8000",
    "alias": "stable",
    "model": "films",
    "version": 3,
    "metrics": {"accuracy": {"value": 0.5, "low": 0.25, "high": 0.75}},
    "differences": {"accuracy": {"value": 0.25, "low": 0.0, "high": 0.5}},
}
EXPORTED = {
    "exporter": "transformers.exporters",
    "opset": 20,
    "fused": {},
    "not_fused": "no pattern",
    "served": "int8",
    "variants": {
        "int8": {"bytes": 2_000_000, "largest": 0.1, "tolerance": 1.0, "mean": 0.01, "from_base": 2, "neighbours": 0.0}
    },
    "tuned": {
        "best": {},
        "tried": [
            {"variant": "int8", "threads": 2, "instances": 1, "max_rows": 8, "rows_per_s": 500.0, "p50_ms": 1.0,
             "p99_ms": 2.0, "memory_mb": 100.0, "error": ""},
        ],
    },
}  # fmt: skip
REGISTERED = {
    "model": "films",
    "version": 4,
    "digest": "d" * 64,
    "alias": "candidate",
    "promoted": None,
    "gates": [{"held": False, "line": "accuracy 0.7500, at least 0.8"}],
}
OUTCOMES: dict[str, dict[str, Any]] = {
    "data": {"fingerprint": "f" * 64, "rows": {"train": 10, "test": 4}, "labels": {"train": {"yes": 6, "no": 4}}},
    "train": {"train_loss": 0.3, "steps": 2},
    "export": EXPORTED,
    "evaluate": EVALUATED,
    "compare": COMPARED,
    "register": REGISTERED,
}


def recipe() -> Recipe:
    return Recipe.model_validate(
        {"name": "films", "task": "text-classification", "model": {"base": "b"}, "datasets": [{"path": "p"}]}
    )


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("data", "train")}
    for folder in found.values():
        folder.mkdir()
    events = [
        {"event": "step", "step": 1, "loss": 0.7, "learning_rate": 1e-4},
        {"event": "step", "step": 2, "loss": 0.5, "learning_rate": 5e-5},
        {"event": "validation", "step": 2, "loss": 0.6},
        {"event": "alert", "step": 2, "kind": "stall", "text": "no step for 60 s"},
    ]
    (found["train"] / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    dropped = [{"kind": "duplicate", "reason": "of row 3"}] * 3 + [{"kind": "no text", "reason": "empty"}]
    (found["data"] / "dropped.jsonl").write_text("".join(json.dumps(row) + "\n" for row in dropped))
    return found


class Parsed(HTMLParser):
    """The cells of all tables, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._in_cell = tag in ("td", "th")
        if self._in_cell:
            self.cells.append("")

    def handle_endtag(self, tag):
        self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.cells[-1] += data


def test_both_forms_tell_the_same(tmp_path, folders):
    html, markdown = (path.read_text() for path in render(tmp_path / "report", recipe(), OUTCOMES, folders))
    for text in (Parsed(html).cells, markdown):
        for figure in ("0.7500 [0.5000, 1.0000]", "0.2500 [0.0000, 0.5000]", "accuracy 0.7500, at least 0.8", "FAILS"):
            assert any(figure in cell.replace("\\", "") for cell in text) or figure in str(text).replace("\\", "")


def test_every_figure_is_a_drawing_and_stands_in_both_forms(tmp_path, folders):
    html, markdown = render(tmp_path / "report", recipe(), OUTCOMES, folders)
    files = sorted(path.name for path in (tmp_path / "report" / "figures").iterdir())
    assert files == [
        "confusion-matrix.svg",
        "learning-rate.svg",
        "loss.svg",
        "reliability.svg",
        "rows-dropped-by-data.svg",
    ]
    for name in files:
        root = ElementTree.parse(tmp_path / "report" / "figures" / name).getroot()
        assert root.tag.endswith("svg")
        assert f"figures/{name}" in markdown.read_text()
    assert html.read_text().count("<svg") == len(files)


def test_dropped_rows_are_counted_by_reason(tmp_path, folders):
    render(tmp_path / "report", recipe(), OUTCOMES, folders)
    drawn = (tmp_path / "report" / "figures" / "rows-dropped-by-data.svg").read_text()
    assert "duplicate" in drawn
    assert "no text" in drawn


def test_text_of_rows_cannot_become_part_of_the_page(tmp_path, folders):
    html, markdown = render(tmp_path / "report", recipe(), OUTCOMES, folders)
    assert "<b>not</b> | bad" in Parsed(html.read_text()).cells
    assert "b" not in Parsed(html.read_text()).tags
    assert r"\<b\>not\</b\> \| bad" in markdown.read_text()


def test_the_page_needs_nothing_from_elsewhere(tmp_path, folders):
    html, _ = render(tmp_path / "report", recipe(), OUTCOMES, folders)
    assert not re.findall(r'(?:src|href)="(?!#)', re.sub(r"<svg.*?</svg>", "", html.read_text(), flags=re.DOTALL))
    assert "script" not in Parsed(html.read_text()).tags


def test_the_same_outcomes_give_the_same_report(tmp_path, folders):
    one, other = (render(tmp_path / name, recipe(), OUTCOMES, folders) for name in ("one", "other"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_a_run_that_stopped_early_has_a_report_of_what_there_is(tmp_path, folders):
    html, _ = render(tmp_path / "report", recipe(), {"data": OUTCOMES["data"]}, {"data": folders["data"]})
    text = html.read_text()
    assert "Fingerprint" in text
    assert "Evaluation" not in text


def test_parts_are_written_as_they_are(tmp_path):
    sections = [Section("One", [Text("a < b"), Table(("x",), [("1",)]), Listing("key: value")])]
    text = page.write(tmp_path, "A title", sections).read_text()
    assert "<p>a &lt; b</p>" in text
    assert "<pre>key: value</pre>" in text


@pytest.mark.parametrize(
    ("value", "shown"), [(None, ""), (True, "yes"), (12345, "12,345"), (0.123456, "0.1235"), ("word", "word")]
)
def test_numbers_are_shown_briefly(value, shown):
    assert number(value) == shown
