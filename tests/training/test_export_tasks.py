"""Every task's model is exported, answers as it does in torch, and a worker's trial load reproduces its answers."""

from pathlib import Path

import pytest

from storage.importers import import_model
from tests.training import task_data
from tests.training.test_export import trial
from tests.training.test_tasks import _with_chat_template, case
from tests.training.train_stage import STEPS
from training.evaluate.run import run as evaluate
from training.export.run import run as export
from training.recipe import Recipe
from training.stage import ROWS, Work
from training.tasks.open import TASKS, open_task
from training.train.run import run as train

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]
FEW = 6  # steps, after which it differs from its base
EXPORT = {
    "variants": ["fp32", "int8"],
    "parity_rows": 16,
    "golden_rows": 2,
    "metric_drop": 1e9,
    "tolerance": {"int8": 9},
}


@pytest.mark.parametrize("name", [task.name for task in TASKS])
def test_a_model_of_the_task_is_exported_and_served(name: str, tmp_path: Path) -> None:
    rows, model, options, _ = case(name)
    if name == "chat":
        model = {**model, "tokenizer": str(_with_chat_template(tmp_path / "tokenizer"))}
    recipe = Recipe.model_validate(
        {
            "name": "tried",
            "task": name,
            "datasets": [{"path": "none"}],
            "model": model,
            "train": {**STEPS, **options, "max_steps": FEW, "save_strategy": "no", "load_best_model_at_end": False},
            "export": EXPORT,
            "evaluate": {"rows": 12, "resamples": 5},
        }
    )
    given = rows(200)
    task_data.split(given, min(24, len(given) // 8)).save_to_disk(str(tmp_path / "data" / ROWS))
    folders = {stage: tmp_path / stage for stage in ("data", "train", "export", "evaluate")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)

    def work(stage: str, *before: str, **outcomes: object) -> Work:
        inputs = {one: folders[one] for one in before}
        return Work(recipe, folders[stage], inputs, outcomes, print)  # type: ignore[arg-type]

    trained = train(work("train", "data"))
    exported = export(work("export", "data", "train", data={}, train=trained))
    artifact = folders["export"] / "artifact"
    for variant in ("fp32", "int8"):
        assert trial(import_model(artifact, settings={"variant": variant}).manifest, artifact)["error"] is None
    found = evaluate(work("evaluate", "data", "train", "export", export=exported))
    metric = open_task(name).metric
    assert found["metrics"]["fp32"][metric]["value"] == pytest.approx(
        found["metrics"]["torch"][metric]["value"], rel=1e-3, abs=1e-3
    )
