"""What an adapter has learned is in the graph: in the weights, or before the text where it must stay beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_from_disk

from storage.importers import import_model
from tests.training.test_export import trial
from tests.training.train_stage import LORA, PROMPT, STEPS, recipe, work
from training.export.run import ARTIFACT
from training.export.run import run as export
from training.export.session import session
from training.export.variants import FILES
from training.stage import ROWS, Work
from training.tasks.open import open_task
from training.train.run import run as train

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    "peft",
    [LORA, PROMPT, {**PROMPT, "modules_to_save": ["pooler"]}],
    ids=["lora", "prompt-tuning", "prompt-tuning-and-pooler"],
)
def test_the_graph_answers_as_the_model_with_its_adapter(peft: dict[str, Any], tmp_path: Path) -> None:
    steps = {**STEPS, "max_steps": 10, "learning_rate": 1e-2, "save_strategy": "no", "load_best_model_at_end": False}
    blocks = {"variants": ["fp32", "int8"], "parity_rows": 24, "golden_rows": 4, "metric_drop": 0.2}
    given = recipe(peft=peft, train=steps, export=blocks)
    job = work(tmp_path, given)
    trained = train(job)
    folder = tmp_path / "export"
    folder.mkdir()
    inputs = {"data": tmp_path / "data", "train": job.folder}
    outcome = export(Work(given, folder, inputs, {"data": {}, "train": trained}, print))

    artifact = folder / ARTIFACT
    for found in outcome["variants"].values():
        assert found["mean"] < 0.5 * found["from_base"]
    task = open_task("text-classification")
    model = task.load(job.folder / "model")
    rows = load_from_disk(str(tmp_path / "data" / ROWS))["test"].select(range(16))
    scores = [
        np.array([list(row.values()) for row in task.predict(run, model, rows)])
        for run in (session(artifact / FILES["fp32"]), task.eager(model))
    ]
    assert np.abs(scores[0] - scores[1]).max() < 1e-4
    assert trial(import_model(artifact).manifest, artifact) == {"error": None, "alone": None}
    assert not list(artifact.rglob("adapter*"))
