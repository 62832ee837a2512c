"""What CONTRIBUTING.md says about adding a task that is trained is true: a toy that is added so is registered."""

import json
import os
from pathlib import Path

from tests.unit.extending.tree import Toy, Tree

TASK = Toy(
    "a task that is trained",
    ("training/tasks/tabular_count.py", "training/templates/tabular-count.yaml"),
    (
        (
            "training/tasks/open.py",
            "from training.tasks.text_classification",
            "from training.tasks.tabular_count import TabularCount\n",
        ),
        ("training/tasks/open.py", "    Forecasting,\n", "    TabularCount,\n"),
        (
            "docs/training.md",
            "| forecasting |",
            "| tabular-count | how many for a row of numbers: visits, orders, days | target | mean_miss |\n",
        ),
        ("training/templates/rows.py", '    "forecasting":', '    "tabular-count": tables.diabetes,\n'),
    ),
)


def test_a_task_that_was_added_is_trained_from_its_template_and_registered(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "source")
    TASK.add_to(tree)
    env = os.environ | tree.environment | {"HEADRACE_DATA": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}
    mine = tmp_path / "mine"
    tree.python("-m", "headrace", "train", "templates", "tabular-count", "--out", str(mine), env=env)
    run = tree.python(
        "-m", "headrace", "train", str(mine / "recipe.yaml"), "--work", str(tmp_path / "work"), "--json", env=env
    )
    stages = json.loads(run)["stages"]
    assert stages["register"]["outcome"]["promoted"] == "stable"
    listed = json.loads(tree.python("-m", "headrace", "models", "show", "my-tabular-count", "--json", env=env))
    (version,) = listed["versions"]
    assert version["manifest"]["task"] == "tabular"
    assert version["manifest"]["metrics"]["mean_miss"] > 0
