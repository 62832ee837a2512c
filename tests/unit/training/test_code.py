"""A stage's result is kept under all code of training that it depends on, and under no other."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import grimp
import pytest

import training
from training.code import modules
from training.pipeline import STAGES
from training.stage import Stage

RECIPE = """
name: movies
task: text-classification
model: {config: {model_type: bert}}
datasets: [{path: rows.csv}]
clean: {}
augment: {text_augment: {methods: [synonym_replacement]}}
profile: {}
evaluate: {against: {url: "http://127.0.0.1:8000"}}
register: {}
"""
SCRIPT = """
import json
from pathlib import Path
from training.pipeline import plan
from training.recipe.recipe import load
print(json.dumps({step.name: step.folder.name for step in plan(load(Path("recipe.yaml")), Path("work"))}))
"""
WHOLE_RECIPE = "training.recipe.recipe"  # imports all blocks; what a stage obeys of them counts as values


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """What imports what, as another one sees it who reads the code."""
    found = grimp.build_graph("training", exclude_type_checking_imports=True)
    found.remove_module(WHOLE_RECIPE)
    return found


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_depends_on_all_that_it_imports(stage: Stage, graph: grimp.ImportGraph) -> None:
    own = graph.find_descendants(stage.package) | {stage.package}
    imported = graph.find_upstream_modules(stage.package, as_package=True)
    assert len(imported) > 10
    assert not (own | imported) - modules(stage.package).keys()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_depends_on_nothing_else(stage: Stage, graph: grimp.ImportGraph) -> None:
    own = graph.find_descendants(stage.package) | {stage.package}
    imported = graph.find_upstream_modules(stage.package, as_package=True)
    packages = {name.rpartition(".")[0] for name in own | imported} | {"training"}
    assert not modules(stage.package).keys() - own - imported - packages


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with a recipe of all stages and the code of training, which a test may write into."""
    shutil.copytree(Path(training.__file__).parent, tmp_path / "training", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "rows.csv").write_text("text,label\nx,y\n")
    return tmp_path


def planned(folder: Path) -> Mapping[str, str]:
    """Under which fingerprint each stage's result is kept, by the code in the folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    assert found.keys() == {stage.name for stage in STAGES}
    return found


def changed(folder: Path, file: str) -> set[str]:
    """The stages that begin anew once the file is another one."""
    before = planned(folder)
    with (folder / "training" / file).open("a") as code:
        code.write("\n# another line\n")
    after = planned(folder)
    return {name for name in after if after[name] != before[name]}


def test_another_task_makes_the_rows_anew(copied: Path) -> None:
    every = {stage.name for stage in STAGES}
    assert changed(copied, "tasks/text_classification.py") == every


def test_another_report_or_another_stages_block_trains_nothing_again(copied: Path) -> None:
    assert changed(copied, "report/page.py") == set()
    assert changed(copied, "recipe/register.py") == {"register"}
