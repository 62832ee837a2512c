"""Each stage is done once: again only where its block, its input or its code is another one, or others decide."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.training.data_stage import recipe
from training.pipeline import Step, check, plan
from training.recipe.block import RecipeError
from training.recipe.recipe import Recipe
from training.stage import OUTCOME, Busy, Stage, busy

FIRST = """
def run(work):
    with (work.folder.parent.parent / "calls").open("a") as file:
        file.write("first\\n")
    return {"rows": 3}
"""
SECOND = """
import time

def run(work):
    calls = work.folder.parent.parent / "calls"
    with calls.open("a") as file:
        file.write("second\\n")
    left = work.folder / "left"
    found = left.exists()
    left.write_text("half of it")
    while (work.folder.parent.parent / "hold").exists():
        time.sleep(0.02)
    return {"found": found, "read": work.outcomes["data"]["rows"]}
"""
SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from tests.training.test_pipeline import run
from training.recipe.recipe import load
run(load(Path(sys.argv[2]) / "recipe.yaml"), Path(sys.argv[2]) / "work")
"""


def two_stages() -> tuple[Stage, ...]:
    """Two stages of two packages that a test wrote; the second reads the first one's result."""
    return (
        Stage("data", "first_stage", lambda recipe: recipe.datasets),
        Stage("train", "second_stage", lambda recipe: recipe.train, reads=("data",), checks="second_stage.check"),
    )


def run(recipe: Recipe, folder: Path, stages: Sequence[Stage] | None = None) -> list[Step]:
    steps = plan(recipe, folder, stages=stages or two_stages())
    outcomes: dict[str, dict[str, object]] = {}
    for step in steps:
        outcomes[step.name] = step.run(outcomes, lambda line: None)
    return steps


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the two packages, which can be imported."""
    for name, code in (("first_stage", FIRST), ("second_stage", SECOND)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "run.py").write_text(code)
        for module in (name, f"{name}.run"):
            monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "second_stage" / "check.py").write_text(
        "from training.recipe.block import RecipeError\n"
        "def check(recipe):\n"
        "    if 'bad' in recipe.train:\n"
        "        raise RecipeError('train.bad: no')\n"
    )
    (tmp_path / "a.csv").write_text("text,label\nx,y\n")
    (tmp_path / "work").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def calls(folder: Path) -> Sequence[str]:
    return (folder / "work" / "calls").read_text().split()


def test_what_is_done_is_not_done_again(packages: Path) -> None:
    tried = recipe(packages, datasets=[{"path": "a.csv"}])
    first = run(tried, packages / "work")
    again = run(tried, packages / "work")
    assert calls(packages) == ["first", "second"]
    assert [step.folder for step in first] == [step.folder for step in again]
    assert all(step.done for step in again)


def test_what_others_decide_about_is_asked_in_every_run(packages: Path) -> None:
    tried = recipe(packages, datasets=[{"path": "a.csv"}])
    first, second = two_stages()
    asked = first, dataclasses.replace(second, again=True)
    run(tried, packages / "work", asked)
    steps = run(tried, packages / "work", asked)
    assert calls(packages) == ["first", "second", "second"]
    assert [step.done for step in steps] == [True, False]


def test_an_answer_of_another_day_is_not_kept_where_there_is_none_today(packages: Path) -> None:
    tried = recipe(packages, datasets=[{"path": "a.csv"}])
    asked = tuple(dataclasses.replace(stage, again=True) for stage in two_stages()[:1])
    (step,) = run(tried, packages / "work", asked)
    (packages / "work" / "calls").unlink()
    (packages / "work" / "calls").mkdir()  # what the stage writes into
    with pytest.raises(IsADirectoryError):
        run(tried, packages / "work", asked)
    assert not (step.folder / OUTCOME).exists()


def test_registering_and_asking_what_serves_are_done_in_every_run_and_make_nothing_else_new(packages: Path) -> None:
    blocks = {"datasets": [{"path": "a.csv"}], "register": {"promote": "stable"}}
    steps = plan(recipe(packages, **blocks, evaluate={"against": {"url": "http://127.0.0.1:8000"}}), packages)
    without = plan(recipe(packages, **blocks), packages)
    assert [step.name for step in steps if step.stage.again] == ["compare", "register"]
    assert [step.folder for step in steps if not step.stage.again] == [step.folder for step in without[:-1]]


def test_another_block_runs_its_stage_and_those_after_it(packages: Path) -> None:
    run(recipe(packages, datasets=[{"path": "a.csv"}]), packages / "work")
    run(recipe(packages, datasets=[{"path": "a.csv"}], train={"max_steps": 2}), packages / "work")
    assert calls(packages) == ["first", "second", "second"]
    run(recipe(packages, datasets=[{"path": "a.csv", "sample": 1}]), packages / "work")
    assert calls(packages)[3:] == ["first", "second"]
    run(recipe(packages, datasets=[{"path": "a.csv"}], description="another"), packages / "work")
    assert len(calls(packages)) == 5


def test_another_seed_runs_all(packages: Path) -> None:
    run(recipe(packages, datasets=[{"path": "a.csv"}]), packages / "work")
    run(recipe(packages, datasets=[{"path": "a.csv"}], seed=8), packages / "work")
    assert calls(packages) == 2 * ["first", "second"]


def test_other_code_runs_its_stage_and_those_after_it(packages: Path) -> None:
    tried = recipe(packages, datasets=[{"path": "a.csv"}])
    run(tried, packages / "work")
    (packages / "second_stage" / "deep").mkdir()
    (packages / "second_stage" / "deep" / "more.py").write_text("x = 1\n")
    run(tried, packages / "work")
    assert calls(packages) == ["first", "second", "second"]
    (packages / "first_stage" / "run.py").write_text(FIRST + "\n# changed\n")
    run(tried, packages / "work")
    assert calls(packages)[3:] == ["first", "second"]


def test_a_changed_data_file_is_another_input(packages: Path) -> None:
    tried = recipe(packages, datasets=[{"path": "a.csv"}])
    before = [step.folder for step in plan(tried, packages)]
    (packages / "a.csv").write_text("text,label\nx,z\n")
    after = [step.folder for step in plan(tried, packages)]
    assert not set(before) & set(after)


def test_a_changed_base_model_trains_again_and_leaves_the_data(packages: Path) -> None:
    (packages / "base").mkdir()
    (packages / "base" / "model.safetensors").write_bytes(b"weights")
    tried = recipe(packages, datasets=[{"path": "a.csv"}], model={"base": "base"})
    before = plan(tried, packages)
    (packages / "base" / "model.safetensors").write_bytes(b"others")
    after = plan(tried, packages)
    assert [a.folder == b.folder for a, b in zip(before, after, strict=True)] == [True, False, False, False]


def test_what_a_stage_returns_is_what_the_next_reads(packages: Path) -> None:
    tried = recipe(packages, datasets=[{"path": "a.csv"}])
    run(tried, packages / "work")
    steps = plan(tried, packages / "work", stages=two_stages())
    outcome = steps[1].run({"data": steps[0].run({}, lambda line: None)}, lambda line: None)
    assert outcome == {"found": False, "read": 3}


def test_what_cannot_work_is_found_before_anything_runs(packages: Path) -> None:
    steps = plan(
        recipe(packages, datasets=[{"path": "a.csv"}], train={"bad": 1}), packages / "work", stages=two_stages()
    )
    with pytest.raises(RecipeError, match=r"train\.bad"):
        check(steps)
    assert not (packages / "work" / "calls").exists()


def test_a_killed_run_is_gone_on_with_at_its_stage_and_another_run_keeps_out(packages: Path) -> None:
    (packages / "work" / "hold").touch()
    tried = recipe(packages, datasets=[{"path": "a.csv"}])
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(Path(__file__).parents[2]), str(packages)])
    try:
        left = plan(tried, packages / "work", stages=two_stages())[1].folder / "left"
        while not left.exists():
            assert process.poll() is None
            time.sleep(0.02)
        assert busy(left.parent)
        with pytest.raises(Busy, match=f"another run works in {left.parent}"):
            run(tried, packages / "work")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not busy(left.parent)
    (packages / "work" / "hold").unlink()
    steps = run(tried, packages / "work")
    assert calls(packages) == ["first", "second", "second"]
    outcome = steps[1].run({"data": {"rows": 3}}, lambda line: None)
    assert outcome == {"found": True, "read": 3}


@pytest.mark.parametrize(
    "blocks",
    [
        {"train": {"bf16": True}},
        {"peft": {"type": "lora"}},
        {"model": {"base": "other"}},
        {"profile": {"steps": 4}},
    ],
)
def test_what_takes_the_time_is_looked_for_again_where_something_else_is_trained(
    packages: Path, blocks: dict[str, object]
) -> None:
    both = ({"datasets": [{"path": "a.csv"}], "profile": {}, **more} for more in ({}, blocks))
    before, after = ({step.name: step.folder for step in plan(recipe(packages, **whole), packages)} for whole in both)
    assert before["data"] == after["data"]
    assert before["profile"] != after["profile"]


def test_recipes_that_differ_in_training_alone_share_their_data(packages: Path) -> None:
    a, b = (plan(recipe(packages, datasets=[{"path": "a.csv"}], train={"max_steps": n}), packages) for n in (1, 2))
    assert a[0].folder == b[0].folder
    assert a[1].folder != b[1].folder
