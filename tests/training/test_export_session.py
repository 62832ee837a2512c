"""Comparing graphs: what is a row's own answer, and what is only padding."""

import numpy as np
import pytest
import yaml

from training.export.check import Figures, ParityFailed, require
from training.export.parity import Difference, compare
from training.export.session import alone, trim
from training.recipe.block import RecipeError
from training.recipe.export import Export
from training.recipe.recipe import load

IDS = np.array([[5, 6, 7, 0], [8, 0, 0, 0]], np.int64)
MASK = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], np.int64)
BATCH = {"input_ids": IDS, "attention_mask": MASK}


def test_a_row_on_its_own_has_none_of_its_neighbours_padding():
    row = trim(BATCH, 1)
    assert row["input_ids"].tolist() == [[8]]
    assert row["attention_mask"].tolist() == [[1]]


def test_padding_on_the_left_goes_too():
    row = trim({"input_ids": np.array([[0, 0, 4, 9]]), "attention_mask": np.array([[0, 0, 1, 1]])}, 0)
    assert row["input_ids"].tolist() == [[4, 9]]


def test_rows_asked_alone_stand_where_they_stood():
    asked: list[tuple[int, ...]] = []

    def run(inputs):
        asked.append(inputs["input_ids"].shape)
        return {"states": inputs["input_ids"][..., None].astype(np.float32)}

    states = alone(run)(BATCH)["states"]
    assert asked == [(1, 3), (1, 1)]
    assert states[..., 0].tolist() == [[5, 6, 7], [8, 0, 0]]


def test_what_stands_at_padding_is_no_difference():
    one = {"states": np.zeros((2, 4, 3))}
    other = {"states": np.zeros((2, 4, 3))}
    other["states"][1, 2:] = 100
    assert Difference().add(one, other, BATCH).largest == 0
    other["states"][0, 2, 1] = 0.5
    assert Difference().add(one, other, BATCH).largest == 0.5


def test_a_difference_that_is_no_number_is_told():
    found = Difference().add({"logits": np.array([[np.nan]])}, {"logits": np.array([[0.0]])}, {})
    assert not found.finite


def test_models_are_compared_while_the_first_is_asked():
    differences: dict[str, Difference] = {}
    run = compare(
        lambda inputs: {"logits": inputs["x"] * 1.0, "extra": inputs["x"]},
        {"other": lambda inputs: {"logits": inputs["x"] + 0.25}},
        differences,
    )
    assert run({"x": np.zeros((2, 2))})["extra"].shape == (2, 2)
    assert differences["other"].largest == 0.25
    assert differences["other"].mean == 0.25


def test_a_difference_is_in_parts_of_a_value_above_one():
    """As a worker's golden check has it, so that the unit of a target does not decide."""
    expected = {"logits": np.array([[0.5, -4.0, 300_000.0]], np.float32)}
    got = {"logits": np.array([[0.5, -3.0, 300_030.0]], np.float32)}
    found = Difference().add(got, expected, {})
    assert (found.largest, found.total) == pytest.approx((0.25, 0.25 + 1e-4))
    next_one = {"logits": np.nextafter(expected["logits"], np.float32(np.inf))}
    assert Difference().add(next_one, expected, {}).largest < 1e-6


def test_everything_that_is_wrong_is_told_at_once():
    wrong = Figures("model.onnx", 1, 0.1, 0.2, 0.1, 0.0, 0.0, {}, ["too far", "the base"])
    with pytest.raises(ParityFailed, match="fp32: too far\nfp32: the base"):
        require({"fp32": wrong})


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"variant": ["fp32"]}, "export.variant: there is no such key, did you mean variants?"),
        ({"variants": ["int4"]}, "export: variants: int4 is for onnxruntime-genai"),
        ({"variants": ["fp32", "fp32"]}, "export: variants: each may be named once"),
        ({"tolerance": {"fp32": 0}}, "export.tolerance.fp32: Input should be greater than 0"),
        ({"tune": {"thread": [1]}}, "export.tune.thread: there is no such key, did you mean threads?"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_recipe(tmp_path, block, message):
    given = {"name": "m", "task": "text-classification", "model": {"base": "b"}, "datasets": [{"path": "p"}]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**given, "export": block}))
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / "recipe.yaml")
    assert message in str(caught.value)


def test_a_recipe_may_allow_more_or_less():
    block = Export.model_validate({"tolerance": {"fp32": 0.5}})
    assert block.tolerance_of("fp32") == 0.5
    assert block.tolerance_of("fp16") == 0.05
