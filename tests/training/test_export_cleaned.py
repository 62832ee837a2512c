"""A model that was trained on cleaned rows is exported with its own classes, not with those of all rows."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.cases import LAST, model_of
from tests.training.test_tasks_media import sound
from tests.training.train_stage import TINY
from training.pipeline import run
from training.recipe.recipe import load
from training.templates.files import Rows, write_rows

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]


def test_a_label_whose_only_row_was_cleaned_away_is_none_of_the_models(tmp_path: Path) -> None:
    rows = [{"text": f"the number {number} is written here", "label": "ab"[number % 2]} for number in range(40)]
    rare = [{"text": "x", "label": "c"}]
    config = exported("text-classification", TINY, rows, rare, tmp_path)
    assert config["label2id"] == {"a": 0, "b": 1}


def test_a_character_that_only_a_dropped_row_has_is_none_of_the_models(tmp_path: Path) -> None:
    rows = [{"audio": spoken(number), "text": ("press one", "press two")[number % 2]} for number in range(24)]
    config = exported(
        "speech-recognition", model_of("speech-recognition"), rows, [{"audio": spoken(99), "text": "z"}], tmp_path
    )
    assert config["vocab_size"] == 3 + len(set("pressonetwo"))


def exported(task: str, model: dict[str, Any], rows: Rows, rare: Rows, folder: Path) -> dict[str, Any]:
    """The configuration of the model in the artifact, after training on `rows`; the rules drop those of `rare`."""
    speech, datasets = task == "speech-recognition", []
    for name, some in (("all", rows), ("rare", rare)):
        path = folder / (name if speech else f"{name}.jsonl")
        write_rows(some, path)
        datasets.append({"path": path.name, **({"split": "train"} if name == "rare" else {})})
    blocks = {
        "name": "cleaned",
        "task": task,
        "model": model,
        "datasets": datasets,
        "clean": {"rules": {"length": {"min": 5}, "near_duplicates": None}},
        "train": {**LAST, "max_steps": 4, "eval_steps": 4, "per_device_train_batch_size": 8, "learning_rate": 1e-3},
        "export": {"variants": ["fp32"], "metric_drop": 1, "parity_rows": 4, "golden_rows": 1},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(blocks))
    done = run(load(folder / "recipe.yaml"), folder / "work", print, "export")
    assert done.outcomes["clean"]["dropped"] == {"too-short": 1}
    config: dict[str, Any] = json.loads((done.folders["export"] / "artifact" / "config.json").read_text())
    return config


def spoken(number: int) -> bytes:
    """Half a second of a tone of its own."""
    found: bytes = sound(300 + 20 * number, 8000)["bytes"]
    return found
