"""What docs/training.md shows is what there is."""

import re
from pathlib import Path

from training.pipeline import STAGES, plan
from training.recipe.recipe import Recipe, load
from training.tasks.open import TASKS
from training.train.check import check

GUIDE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()


def test_its_recipe_can_be_run_and_has_every_block_but_distributed(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    recipe = load(path)
    assert [step.name for step in plan(recipe, tmp_path)] == [stage.name for stage in STAGES]
    check(recipe)
    assert set(Recipe.model_fields) - recipe.model_fields_set == {"description", "distributed"}


def test_its_table_is_that_of_the_tasks() -> None:
    rows = [f"| {task.name} | {task.about} | {', '.join(task.columns)} | {task.metric} |" for task in TASKS]
    table = "\n".join(rows)
    assert table in GUIDE, f"write this into it:\n{table}"
