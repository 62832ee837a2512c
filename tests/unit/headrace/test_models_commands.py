"""`headrace models` on a registry in a folder: a version's life from its import to its removal."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from tests.unit.headrace.conftest import Run


def write_model(path: Path, scale: float) -> Path:
    """`y = scale * x` for rows of three numbers."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "xy")
    factor = helper.make_tensor("factor", TensorProto.FLOAT, [1], [scale])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "factor"], ["y"])], "scaled", [x], [y], [factor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def answer(run: Run, *arguments: str) -> Any:
    """What the command says with --json."""
    result = run(*arguments, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


@pytest.fixture
def two_versions(run: Run, tmp_path: Path) -> Run:
    """The command, in a folder in whose registry `scaled` has the versions 1 (stable) and 2 (candidate)."""
    answer(run, "models", "add", str(write_model(tmp_path / "one.onnx", 1)), "--name", "scaled")
    second = write_model(tmp_path / "two.onnx", 2)
    answer(run, "models", "add", str(second), "--name", "scaled", "--alias", "candidate")
    return run


def aliases(run: Run) -> Any:
    return answer(run, "models", "show", "scaled")["aliases"]


def test_the_first_version_is_stable_and_later_ones_wait(two_versions: Run) -> None:
    assert aliases(two_versions) == {"stable": 1, "candidate": 2}


def test_the_same_artifact_again_is_the_same_version(two_versions: Run) -> None:
    again = answer(two_versions, "models", "add", "one.onnx", "--name", "scaled")
    assert again["number"] == 1


def test_settings_go_into_the_manifest(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx", 1)
    settings = ("--set", "engine.threads=2", "--set", "batching.max_rows=8", "--set", "description=of no use")
    version = answer(run, "models", "add", "m.onnx", *settings)
    assert version["manifest"]["engine"]["threads"] == 2
    assert version["manifest"]["batching"]["max_rows"] == 8
    assert version["manifest"]["description"] == "of no use"


def test_a_setting_that_does_not_exist_is_refused(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx", 1)
    result = run("models", "add", "m.onnx", "--set", "engine.thread=2")
    assert result.code == 1
    assert "thread" in result.err
    assert answer(run, "models", "list") == []


def test_promote_by_alias_and_back(two_versions: Run) -> None:
    assert answer(two_versions, "models", "promote", "scaled", "candidate")["number"] == 2
    assert aliases(two_versions) == {"stable": 2, "candidate": 2}
    assert answer(two_versions, "models", "rollback", "scaled")["number"] == 1
    assert aliases(two_versions) == {"stable": 1, "candidate": 2}
    result = two_versions("models", "rollback", "scaled")
    assert result.code == 1
    assert "promote" in result.err


def test_promote_to_another_alias_by_number(two_versions: Run) -> None:
    answer(two_versions, "models", "promote", "scaled", "2", "--alias", "canary")
    assert aliases(two_versions) == {"stable": 1, "candidate": 2, "canary": 2}


def test_a_version_in_use_is_not_removed(two_versions: Run) -> None:
    result = two_versions("models", "remove", "scaled", "--version", "2")
    assert result.code == 1
    assert "candidate" in result.err


def test_a_model_is_removed_with_its_versions(two_versions: Run) -> None:
    answer(two_versions, "models", "remove", "scaled")
    assert answer(two_versions, "models", "list") == []


def test_a_misspelt_name_brings_the_near_ones(two_versions: Run) -> None:
    result = two_versions("models", "promote", "scalde", "1")
    assert result.code == 1
    assert "did you mean scaled?" in result.err


def test_people_get_tables(two_versions: Run) -> None:
    listed = two_versions("models", "list").out
    assert "candidate=2 stable=1" in listed
    shown = two_versions("models", "show", "scaled").out
    assert "FP32 [-1, 3]" in shown
    moved = two_versions("models", "promote", "scaled", "2").out
    assert moved == "stable of scaled is version 2\n"
