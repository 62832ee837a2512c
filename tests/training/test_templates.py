"""Every task has a recipe to begin with, which runs as it is on the small rows that are written beside it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.test_train_command import error, headrace
from training.recipe.block import RecipeError
from training.recipe.recipe import load
from training.tasks.open import TASKS, open_task
from training.templates.debian import package
from training.templates.files import write_rows
from training.templates.open import names, recipe_of, write
from training.templates.rows import ROWS
from training.templates.tokenizer import write_chat_tokenizer
from training.train.check import check

# So few steps come to nothing: any bound that they reach would always hold.
UNBOUND = ("speech-recognition", "summarisation", "translation")
pytestmark = pytest.mark.filterwarnings("default")


def test_every_task_has_a_template_and_rows_for_it() -> None:
    tasks = sorted(task.name for task in TASKS)
    assert names() == tasks
    assert sorted(ROWS) == tasks


@pytest.mark.parametrize("name", names())
def test_a_template_is_a_recipe_whose_gates_are_about_what_the_task_is_compared_by(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe_of(name))
    recipe, task = load(path), open_task(name)
    if recipe.model.tokenizer == "tokenizer":  # which stands beside the recipe
        write_chat_tokenizer(tmp_path / "tokenizer")
    check(recipe)
    assert recipe.task == name
    assert recipe.description
    assert recipe.register_ is not None
    assert recipe.register_.promote == "stable"
    *bounds, compared = recipe.register_.gates
    assert {gate.metric for gate in recipe.register_.gates} == {task.metric}
    assert len(bounds) == (name not in UNBOUND)
    for bound in bounds:
        assert (bound.at_least or 0) > 0 if task.higher_is_better else (bound.at_most or 0) > 0
    assert compared.worse_by_at_most is not None


def test_a_template_is_printed_as_it_is() -> None:
    assert headrace("templates", "forecasting").stdout == recipe_of("forecasting")
    found = json.loads(headrace("templates", "forecasting", "--json").stdout)
    assert found == {"task": "forecasting", "recipe": recipe_of("forecasting")}


def test_a_template_runs_as_it_is_to_a_version_that_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATA", str(tmp_path / "platform"))
    folder = tmp_path / "mine"
    written = headrace("templates", "tabular-classification", "--out", str(folder))
    assert written.exit_code == 0, written.output
    assert f"headrace train {folder / 'recipe.yaml'}" in written.stdout
    run = headrace(str(folder / "recipe.yaml"), "--work", str(tmp_path / "work"), "--json")
    assert run.exit_code == 0, run.output
    stages = json.loads(run.stdout)["stages"]
    assert stages["data"]["outcome"]["read"] == 500
    assert stages["register"]["outcome"]["promoted"] == "stable"
    assert (tmp_path / "platform").is_dir()


def test_json_says_where_a_template_was_written(tmp_path: Path) -> None:
    found = json.loads(headrace("templates", "forecasting", "--out", str(tmp_path / "new"), "--json").stdout)
    assert Path(found["recipe"]).read_text() == recipe_of("forecasting")
    assert len(Path(found["data"]).read_text().splitlines()) == found["rows"] > 100


@pytest.mark.parametrize("there", ["recipe.yaml", "rows.jsonl"])
def test_a_folder_that_holds_one_already_is_left_as_it_is(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine")
    assert f"holds {there} already" in error(headrace("templates", "forecasting", "--out", str(tmp_path))).message
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is not a folder" in error(headrace("templates", "forecasting", "--out", str(tmp_path / "file"))).message


def test_a_template_that_is_not_there_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    for more in ((), ("--out", str(tmp_path / "new"))):
        assert "did you mean forecasting?" in error(headrace("templates", "forcasting", *more)).message
    assert not (tmp_path / "new").exists()
    assert "the name of a template" in error(headrace("templates", "--out", str(tmp_path))).message


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("summarisation",), 0, "task: summarisation"),
        (("tabular-regression", "--out", "new"), 1, "training needs the package numpy"),
    ],
)
def test_recipes_are_read_without_the_packages_of_training(
    arguments: tuple[str, ...], status: int, words: str, tmp_path: Path
) -> None:
    code = (
        "import sys\nfor name in ('datasets', 'numpy', 'sklearn', 'torch', 'transformers'): sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from headrace.cli import main\nmain(['train', 'templates', *sys.argv[1:]])"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert words in done.stdout + done.stderr
    assert not (tmp_path / "new").exists()


def test_rows_of_images_lie_in_a_folder_with_their_masks(tmp_path: Path) -> None:
    rows = ROWS["image-segmentation"](3)
    write_rows(rows, tmp_path / "rows")
    lines = [json.loads(line) for line in (tmp_path / "rows" / "metadata.jsonl").read_text().splitlines()]
    assert lines[2] == {"file_name": "0003.png", "mask": "masks/0003.png"}
    assert all((tmp_path / "rows" / line[column]).is_file() for line in lines for column in ("file_name", "mask"))


def test_translations_are_in_another_language_and_summaries_are_shorter() -> None:
    pairs = {row["source"]: row["target"] for row in ROWS["translation"](1000)}
    assert len(pairs) > 600
    assert pairs["A horse."] == "Un cheval."
    summaries = ROWS["summarisation"](500)
    assert len({row["target"] for row in summaries}) == 500
    assert np.mean([len(row["target"]) < len(row["source"]) for row in summaries]) > 0.9


def test_a_conversation_has_a_tokenizer_beside_it(tmp_path: Path) -> None:
    recipe = load(write("chat", tmp_path, 8).recipe)
    model = open_task("chat").start(recipe, ())
    asked = [{"role": "user", "content": "Where is that from?"}]
    text = model.processor.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert text == "user : Where is that from? [SEP] assistant : "


def test_what_debian_packages_hold_is_told_of_where_it_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(RecipeError, match="apt-get could not download no-such-package"):
        package("no-such-package")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match="the Debian package no-such-package, and apt-get is not installed"):
        package("no-such-package")
