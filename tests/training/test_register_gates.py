"""Gates: what must hold before a version serves."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from storage.manifest import Manifest
from storage.views import VersionView
from tests.training.train_stage import MINILM
from training.pipeline import check, plan
from training.recipe.block import RecipeError
from training.recipe.recipe import Recipe
from training.recipe.register import Gate, Register
from training.register.gates import Replaced, describe_replaced, judge

METRICS = {"accuracy": 0.80, "loss": 0.50}
BETTER = {"accuracy": True, "loss": False}


def held(gate, replaced=None, metrics=METRICS):
    return [verdict.held for verdict in judge([Gate.model_validate(gate)], metrics, BETTER, replaced)]


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ({"metric": "accuracy", "at_least": 0.80}, [True]),
        ({"metric": "accuracy", "at_least": 0.81}, [False]),
        ({"metric": "loss", "at_most": 0.5}, [True]),
        ({"metric": "loss", "at_most": 0.4, "at_least": 0.1}, [True, False]),
    ],
)
def test_thresholds_hold_at_their_edge(gate, expected):
    assert held(gate) == expected


@pytest.mark.parametrize(
    ("metric", "theirs", "expected"),
    [("accuracy", 0.82, True), ("accuracy", 0.83, False), ("loss", 0.48, True), ("loss", 0.47, False)],
)
def test_worse_means_lower_or_higher_as_the_metric_goes(metric, theirs, expected):
    replaced = Replaced(3, {metric: theirs})
    assert held({"metric": metric, "worse_by_at_most": 0.021}, replaced) == [expected]


def test_the_first_version_is_worse_than_none():
    assert held({"metric": "accuracy", "worse_by_at_most": 0}) == [True]


def test_what_cannot_be_compared_does_not_hold_and_says_why():
    (verdict,) = judge(
        [Gate(metric="accuracy", worse_by_at_most=0.5)], METRICS, BETTER, Replaced(3, None, "nobody answers")
    )
    assert not verdict.held
    assert "version 3 is not known: nobody answers" in verdict.line


def test_a_metric_that_nobody_measured_does_not_hold():
    (verdict,) = judge([Gate(metric="acuracy", at_least=0.0)], METRICS, BETTER, None)
    assert not verdict.held
    assert "acuracy is not among the metrics: accuracy, loss" in verdict.line


def version(rows: str | None) -> VersionView:
    file = {"path": "m.onnx", "sha256": "0" * 64, "size": 1}
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1]}
    manifest = Manifest.model_validate(
        {
            "name": "m",
            "model": "m.onnx",
            "inputs": [tensor],
            "outputs": [tensor],
            "files": [file],
            "metrics": {"accuracy": 0.9},
            "provenance": {"test_rows": rows},
        }
    )
    return VersionView(1, "m", 4, manifest.digest, manifest, None, datetime.now(UTC))


def test_a_version_measured_on_the_same_rows_is_compared_by_its_own_figures():
    replaced = describe_replaced(version("abc"), "abc", None)
    assert replaced is not None
    assert replaced.metrics == {"accuracy": 0.9}


@pytest.mark.parametrize("rows", ["abd", None])
def test_a_version_measured_on_other_rows_is_not(rows):
    replaced = describe_replaced(version(rows), "abc", None)
    assert replaced is not None
    assert replaced.metrics is None
    assert "evaluate.against" in replaced.unknown


def test_what_was_asked_over_http_goes_before_what_was_written_down():
    against = {"version": 4, "metrics": {"accuracy": {"value": 0.7, "low": 0.6, "high": 0.8}}}
    replaced = describe_replaced(version("abc"), "abc", against)
    assert replaced is not None
    assert replaced.metrics == {"accuracy": 0.7}


def test_an_answer_of_another_version_than_the_one_that_serves_counts_for_nothing():
    against = {"version": 3, "metrics": {"accuracy": {"value": 0.7, "low": 0.6, "high": 0.8}}}
    replaced = describe_replaced(version("abd"), "abc", against)
    assert replaced is not None
    assert replaced.metrics is None
    assert "version 3 was asked, version 4 is there now" in replaced.unknown


def test_a_version_that_cannot_be_asked_is_compared_by_what_was_measured_on_the_same_rows():
    unknown = {"unknown": "nobody answers"}
    assert describe_replaced(version("abc"), "abc", unknown) == Replaced(4, {"accuracy": 0.9})
    assert describe_replaced(version("abd"), "abc", unknown) == Replaced(4, None, "nobody answers")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"gates": [{"metric": "accuracy"}]}, "a gate needs at_least"),
        ({"alias": "stable", "promote": "stable"}, "the gates would decide about nothing"),
        (
            {"alias": "stable", "gates": [{"metric": "accuracy", "at_least": 0.9}]},
            "serves before its gates are judged: write 'alias: candidate' and 'promote: stable'",
        ),
        ({"url": "http://127.0.0.1:1", "data": "x"}, "not both"),
        ({"url": "ftp://somewhere"}, "pattern"),
    ],
)
def test_blocks_that_make_no_sense_are_refused(block, message):
    with pytest.raises(ValidationError, match=message):
        Register.model_validate(block)


def test_a_version_without_gates_may_be_published_as_stable():
    assert Register(alias="stable").alias == "stable"


@pytest.mark.parametrize(
    ("task", "metric", "words"),
    [
        ("text-classification", "acuracy", "text-classification has no metric 'acuracy', did you mean accuracy?"),
        ("tabular-regression", "accuracy", "tabular-regression has no metric .*; there are r2, mean_absolute_error"),
    ],
)
def test_a_gate_on_what_the_task_does_not_measure_is_refused_before_anything_runs(task, metric, words, tmp_path):
    block = {"gates": [{"metric": metric, "at_least": 0.9}]}
    numbers = {"config": {"model_type": "headrace-tabular", "columns": ["x"]}}
    model = numbers if task.startswith("tabular") else {"base": MINILM}
    recipe = Recipe.model_validate(
        {"name": "a", "task": task, "model": model, "datasets": [{"path": "a.csv"}], "register": block}
    )
    (tmp_path / "a.csv").touch()
    recipe._folder = tmp_path
    with pytest.raises(RecipeError, match=f"register.gates: {words}"):
        check(plan(recipe, tmp_path))
    check(plan(recipe, tmp_path, until="evaluate"))
