"""Every adapter on every task that takes adapters: trained, exported, and the graph answers as torch does."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from datasets import load_from_disk

from storage.importers import import_model
from tests.training.cases import case, model_of
from tests.training.train_stage import TINY
from training.export.run import ARTIFACT
from training.export.run import run as export
from training.export.session import alone, session
from training.export.variants import FILES
from training.stage import ROWS, Work
from training.tasks.open import TASKS, open_task
from training.train.run import run as train

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]

LEARNED: Final = 5
ADAPTERS: Final[dict[str, dict[str, Any]]] = {
    "lora": {"type": "lora", "r": 4, "target_modules": "all-linear"},
    "prompt-tuning": {"type": "prompt-tuning", "num_virtual_tokens": LEARNED},
}
EXPORT: Final = {"variants": ["fp32"], "parity_rows": 4, "golden_rows": 1, "metric_drop": 1e9}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", [task.name for task in TASKS if task.peft is not None])
def test_the_graph_of_a_trained_adapter_answers_as_torch(name: str, adapter: str, tmp_path: Path) -> None:
    own = model_of(name)
    model = {**own, "max_length": 24} if "base" not in own else {**TINY, "max_length": 24}
    steps: dict[str, Any] = {"max_steps": 4, "learning_rate": 5e-2, "warmup_steps": 0, "per_device_train_batch_size": 4}
    steps["eval_strategy"] = "no"  # but once, at the end
    recipe, data = case(name, tmp_path, 40, steps, model=model, peft=ADAPTERS[adapter], export=EXPORT)
    folders = {"data": data, "train": tmp_path / "train"}
    folders["train"].mkdir()
    trained = train(Work(recipe, folders["train"], {"data": data}, {}, print))
    (tmp_path / "export").mkdir()
    outcome = export(Work(recipe, tmp_path / "export", folders, {"data": {}, "train": trained}, print))
    assert outcome["variants"]["fp32"]["from_base"] > outcome["variants"]["fp32"]["largest"]

    artifact, task = tmp_path / "export" / ARTIFACT, open_task(name)
    opened, rows = task.load(folders["train"] / "model"), load_from_disk(str(data / ROWS))["test"]
    graph, eager = session(artifact / FILES["fp32"]), task.eager(opened)
    example = {part: tensor.numpy() for part, tensor in task.example(opened, rows).items()}
    inputs = example["decoder_input_ids" if "decoder_input_ids" in example else "input_ids"]
    for output, answer in eager(example).items():
        assert answer.ndim < 3 or answer.shape[1] == inputs.shape[1]  # one for each token, and none for a learned one
        np.testing.assert_allclose(graph(example)[output], answer, rtol=1e-3, atol=1e-3)
    if name not in ("summarisation", "translation"):  # which write as long as they like, token by token
        figures = [task.measure(task.predict(run, opened, rows), rows) for run in (graph, alone(graph), eager)]
        for one in figures[:2]:
            assert one == pytest.approx(figures[2], rel=1e-3, abs=1e-3)
    assert import_model(artifact).manifest.golden is not None
