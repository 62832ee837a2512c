"""The report: everything the stages found, in one page and as Markdown."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.training.outcomes import EXPORTED, OUTCOMES, TOLD
from training.recipe.recipe import Recipe
from training.report import page
from training.report.content import Listing, Section, Table, Text, number
from training.report.write import render


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
    return found


class Parsed(HTMLParser):
    """The cells of all tables, every tag, and the text of each row, paragraph and line."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.lines: list[str] = [""]
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._in_cell = tag in ("td", "th")
        if tag in ("tr", "p", "li"):
            self.lines.append("")
        if self._in_cell:
            self.cells.append("")

    def handle_endtag(self, tag):
        self._in_cell = False

    def handle_data(self, data):
        self.lines[-1] += f" {data}"
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
        "rows-dropped-by-clean.svg",
        "rows-dropped-by-data.svg",
        "time-of-training.svg",
    ]
    for name in files:
        root = ElementTree.parse(tmp_path / "report" / "figures" / name).getroot()
        assert root.tag.endswith("svg")
        assert f"figures/{name}" in markdown.read_text()
    assert html.read_text().count("<svg") == len(files)


@pytest.mark.parametrize(("stage", "reasons"), [("data", ("duplicate", "no text")), ("clean", ("low-quality",))])
def test_dropped_rows_are_counted_by_reason(tmp_path, folders, stage, reasons):
    render(tmp_path / "report", recipe(), OUTCOMES, folders)
    drawn = (tmp_path / "report" / "figures" / f"rows-dropped-by-{stage}.svg").read_text()
    assert all(reason in drawn for reason in reasons)


@pytest.mark.parametrize(("stage", "wanted"), TOLD.items())
def test_what_a_stage_found_stands_in_both_forms(tmp_path, folders, stage, wanted):
    outcomes = {stage: OUTCOMES[stage]}
    html, markdown = (path.read_text() for path in render(tmp_path / "report", recipe(), outcomes, folders))
    for lines in (Parsed(html).lines, markdown.replace("\\", "").splitlines()):
        for parts in wanted:
            assert any(_in_order(parts, line) for line in lines), (parts, lines)


def _in_order(parts, line):
    at = [line.find(part) for part in parts]
    return -1 not in at and at == sorted(at)


def test_the_best_of_what_was_tried_is_marked_wherever_it_stands(tmp_path, folders):
    _, markdown = render(tmp_path / "report", recipe(), {"export": EXPORTED}, folders)
    tried = [line for line in markdown.read_text().splitlines() if line.startswith("| int8") and "100" in line]
    assert [" (served)" in line for line in tried] == [False, True]


def test_the_overview_says_in_a_line_what_came_of_each_stage(tmp_path, folders):
    html, _ = render(tmp_path / "report", recipe(), OUTCOMES, folders)
    cells = Parsed(html.read_text()).cells
    assert "most of the time goes into padding; 1 of 2 suggestions made training faster" in cells
    assert "9,100 training rows became 8,014" in cells


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
