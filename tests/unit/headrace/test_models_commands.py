"""`headrace models` on a registry in a folder: a version's life from its import to its removal."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from headrace.data_folder import DataFolder
from headrace.rows import rows_of
from storage.database import Database
from storage.registry import Registry as Rows
from storage.views import ReplicaView, VersionView
from tests.unit.headrace.conftest import Run
from tests.unit.model_service.graphs import manifest
from tests.unit.storage.import_sources import sentence_folder


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


def test_where_a_version_was_registered_is_told_while_no_platform_runs_there(two_versions: Run, tmp_path: Path) -> None:
    idle = f"it is in {tmp_path}/.headrace, over which no worker runs: `headrace up` starts a platform"
    added = ("models", "add", "one.onnx", "--name", "scaled")
    assert idle in two_versions(*added).out
    with DataFolder(tmp_path / ".headrace").lock() as announce:
        announce("http://127.0.0.1:8000")
        assert "no worker runs" not in two_versions(*added).out
    assert idle in two_versions(*added).out
    asyncio.run(
        share_out(DataFolder(tmp_path / ".headrace").database_url, {"1": 1})
    )  # by a worker that was started alone
    assert "no worker runs" not in two_versions(*added).out


def test_the_same_artifact_again_is_the_same_version(two_versions: Run) -> None:
    again = answer(two_versions, "models", "add", "one.onnx", "--name", "scaled")
    assert again["number"] == 1


def test_what_is_registered_already_is_told_to_be_no_new_version(two_versions: Run) -> None:
    again = two_versions("models", "add", "one.onnx", "--name", "scaled")
    assert again.code == 0
    assert again.out.startswith("nothing changed: these files with these settings are scaled version 1 already; rows")
    again = two_versions("models", "add", "two.onnx", "--name", "scaled", "--alias", "beta")
    assert "scaled version 2 already; beta points at it" in again.out
    assert aliases(two_versions) == {"stable": 1, "candidate": 2, "beta": 2}
    told = ("models", "add", "one.onnx", "--name", "scaled", "--set", "engine.threads=2")
    for number, unchanged in ((3, False), (3, True)):
        version = answer(two_versions, *told)
        assert (version["number"], version["unchanged"]) == (number, unchanged)
    other = answer(two_versions, "models", "add", "one.onnx", "--name", "other")
    assert (other["number"], other["unchanged"]) == (1, False)


def test_a_folder_that_is_registered_already_is_told_so_and_one_that_changed_is_a_new_version(
    run: Run, tmp_path: Path
) -> None:
    folder = sentence_folder(tmp_path / "minilm")
    assert "minilm version 1 is registered" in run("models", "add", str(folder)).out
    assert "nothing changed: " in run("models", "add", str(folder)).out
    (folder / "README.md").write_text("is no part of it")
    assert "nothing changed: " in run("models", "add", str(folder)).out
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 128}')
    assert "minilm version 2 is registered" in run("models", "add", str(folder)).out


@pytest.mark.parametrize("name", ["model.gguf", "model.joblib", "model.safetensors"])
def test_files_of_other_kinds_are_refused_however_often_they_come(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"GGUF")
    for _ in range(2):
        refused = run("models", "add", name)
        assert refused.code == 1
        assert f"{name} is not an .onnx file: export it to ONNX first" in refused.err
    assert answer(run, "models", "list") == []


def test_that_a_failed_version_is_the_same_again_is_told_with_its_failure(two_versions: Run, tmp_path: Path) -> None:
    asyncio.run(fail(DataFolder(tmp_path / ".headrace").database_url, "it is broken"))
    again = two_versions("models", "add", "one.onnx", "--name", "scaled")
    assert "scaled version 1 already, which failed to load: it is broken" in again.out


def test_that_answers_are_never_cached_is_told_with_the_reason(run: Run, tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Bernoulli", ["x"], ["y"], name="coin")], "drawn", [x], [y])
    path = tmp_path / "drawn.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    why = "the node 'coin' (Bernoulli) draws at random"
    assert f"its answers are never cached: {why}" in run("models", "add", str(path)).out
    assert f"never: {why}" in run("models", "show", "drawn").out
    refused = run("models", "add", str(path), "--set", "cache_ttl_s=60")
    assert refused.code == 1
    assert "never cached where the node 'coin' (Bernoulli)" in refused.err


def test_what_a_source_suggests_and_its_version_does_not_do_is_told(run: Run, tmp_path: Path) -> None:
    (folder := tmp_path / "vision").mkdir()
    write_model(folder / "model.onnx", 1)
    (folder / "preprocessor_config.json").write_text("{}")
    assert "\nnote: it is served as a model of raw tensors" in run("models", "add", str(folder)).out
    assert "raw tensors" in answer(run, "models", "add", str(folder))["notes"][0]


@pytest.mark.parametrize(
    ("value", "providers"), [("cuda", ["cuda"]), ("cuda,cpu", ["cuda", "cpu"]), ('["cpu"]', ["cpu"])]
)
def test_a_list_can_be_set_by_one_value(run: Run, tmp_path: Path, value: str, providers: list[str]) -> None:
    write_model(tmp_path / "m.onnx", 1)
    version = answer(run, "models", "add", "m.onnx", "--set", f"engine.providers={value}")
    assert version["manifest"]["engine"]["providers"] == providers


def test_settings_go_into_the_manifest(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx", 1)
    settings = ("--set", "engine.threads=2", "--set", "batching.max_rows=8", "--set", "description=of no use")
    version = answer(run, "models", "add", "m.onnx", *settings)
    assert version["manifest"]["engine"]["threads"] == 2
    assert version["manifest"]["batching"]["max_rows"] == 8
    assert version["manifest"]["description"] == "of no use"


def test_whether_rows_run_together_is_told_with_the_reason(two_versions: Run, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    totals = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    node = helper.make_node("CumSum", ["x", "axis"], ["y"])
    graph = helper.make_graph(
        [node], "totals", [value], [totals], [helper.make_tensor("axis", TensorProto.INT64, [], [0])]
    )
    path = tmp_path / "totals.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    told = answer(two_versions, "models", "add", str(path))["rows"]
    assert told == {"rows": "alone", "reason": "the node 'y' (CumSum) works along the rows"}
    assert "each request runs alone and whole: the node 'y' (CumSum)" in two_versions("models", "show", "totals").out
    assert "rows run together: each row of the graph's outputs" in two_versions("models", "show", "scaled").out
    listed = two_versions("models", "list").out.splitlines()
    assert ["alone" in line for line in listed if line.startswith("totals")] == [True]


def test_what_a_workers_trial_found_out_goes_before_what_the_graph_says() -> None:
    version = VersionView(7, "m", 1, "digest", manifest(), None, datetime.now(UTC))
    told = {"7": {"state": "ready", "reason": None, "alone": "output 'y' is off by 3"}}
    replica = ReplicaView("w", "http://w", True, False, 1, datetime.now(UTC), told)
    assert rows_of(version, []).rows == "together"
    assert str(rows_of(version, [replica])) == (
        "each request runs alone and whole: its trial found that output 'y' is off by 3"
    )


def test_a_setting_that_does_not_exist_is_refused(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx", 1)
    result = run("models", "add", "m.onnx", "--set", "engine.thread=2")
    assert result.code == 1
    assert "thread" in result.err
    assert answer(run, "models", "list") == []


@pytest.mark.parametrize("version", ["²", "9" * 5000, "true"])
def test_what_names_no_version_is_refused_with_those_that_are(two_versions: Run, version: str) -> None:
    refused = two_versions("models", "promote", "scaled", version)
    assert refused.code == 1
    assert "it has candidate, stable" in refused.err


@pytest.mark.parametrize("name", ["stats", "versions"])
def test_a_name_that_paths_use_is_refused_before_anything_is_stored(run: Run, tmp_path: Path, name: str) -> None:
    write_model(tmp_path / f"{name}.onnx", 1)
    for given in ([], ["--name", name]):
        refused = run("models", "add", f"{name}.onnx", *given)
        assert refused.code == 1
        assert f"no model can be called '{name}'" in refused.err
    assert answer(run, "models", "list") == []
    assert not (tmp_path / ".headrace/artifacts/files").exists()


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


async def fail(database_url: str, reason: str) -> None:
    """Mark every version as one that no worker can load."""
    registry = Rows(database := Database.open(database_url))
    for model in await registry.models():
        for version in model.versions:
            await registry.mark_failed(version.id, reason)
    await database.close()


def test_pointing_at_a_version_that_does_not_load_says_so(two_versions: Run, tmp_path: Path) -> None:
    asyncio.run(fail(DataFolder(tmp_path / ".headrace").database_url, "it is broken"))
    moved = two_versions("models", "promote", "scaled", "candidate")
    assert (moved.code, moved.err) == (1, "")
    assert moved.out == "stable of scaled is version 2, which failed to load: it is broken\n"
    moved = two_versions("models", "rollback", "scaled")
    assert (moved.code, moved.err) == (1, "")
    assert moved.out == "stable of scaled is version 1 again, which failed to load: it is broken\n"
    moved = two_versions("models", "promote", "scaled", "candidate", "--json")
    assert (moved.code, json.loads(moved.out)["failure"]) == (1, "it is broken")


async def share_out(database_url: str, weights: dict[str, float]) -> None:
    """Share requests out, and have a worker say that it cannot load version 2."""
    registry = Rows(database := Database.open(database_url))
    await registry.set_route("scaled", weights)
    second = (await registry.model("scaled")).versions[1]
    await registry.beat("w", "http://w", {str(second.id): {"state": "failed", "reason": "no GPU here"}})
    await database.close()


async def hear(database_url: str, *states: str) -> None:
    """Have a worker tell these states of the versions 1, 2, ..."""
    registry = Rows(database := Database.open(database_url))
    versions = (await registry.model("scaled")).versions
    told = {str(version.id): {"state": state, "reason": None} for version, state in zip(versions, states, strict=False)}
    await registry.beat("w", "http://w", told)
    await database.close()


def states(run: Run) -> tuple[str, list[str]]:
    """What `list` says of the model and `show` of each of its versions."""
    (listed,) = (line for line in run("models", "list").out.splitlines() if line.startswith("scaled"))
    shown = run("models", "show", "scaled").out.partition("\nversion ")[2].splitlines()[1:]
    return listed.partition("together")[2].strip(), [line.split(maxsplit=4)[4].strip() for line in shown]


def test_a_state_is_told_of_what_is_well_too(two_versions: Run, tmp_path: Path) -> None:
    url = DataFolder(tmp_path / ".headrace").database_url
    idle = "not loaded: no worker runs"
    assert states(two_versions) == (idle, [idle, idle])
    asyncio.run(hear(url, "ready", "loading"))
    assert states(two_versions) == ("version 1 ready; version 2 loading", ["ready", "loading"])
    asyncio.run(hear(url, "ready", "ready"))
    assert states(two_versions) == ("ready", ["ready", "ready"])
    two_versions("models", "unalias", "scaled", "candidate")
    asyncio.run(hear(url, "ready"))
    assert states(two_versions) == ("ready", ["ready", "not loaded: nothing points at it"])
    asyncio.run(fail(url, "it is broken"))
    assert states(two_versions) == ("failed: version 1, 2", ["failed: it is broken"] * 2)


END_SHARING = (
    "to end the sharing: curl -X PUT http://127.0.0.1:8000/admin/models/scaled/route"
    """ -H 'content-type: application/json' -d '{"weights": null}'\n"""
)


def test_a_route_is_shown_and_pointing_stable_says_that_it_goes_before(two_versions: Run, tmp_path: Path) -> None:
    asyncio.run(share_out(DataFolder(tmp_path / ".headrace").database_url, {"1": 2, "candidate": 1}))
    assert "route     1=0.667 candidate=0.333 (version 2)\n" in two_versions("models", "show", "scaled").out
    moved = two_versions("models", "promote", "scaled", "2").out
    assert moved == (
        "stable of scaled is version 2, which is not loaded yet: no GPU here; requests that name no version go where"
        f" the route says: 1=0.667 candidate=0.333 (version 2); {END_SHARING}"
    )
    assert (
        two_versions("models", "promote", "scaled", "1", "--alias", "canary").out == "canary of scaled is version 1\n"
    )


def test_rolling_back_while_a_route_shares_says_who_answers_too_and_what_ends_it(
    two_versions: Run, tmp_path: Path
) -> None:
    asyncio.run(share_out(DataFolder(tmp_path / ".headrace").database_url, {"stable": 9, "candidate": 1}))
    refused = two_versions("models", "rollback", "scaled")
    assert refused.code == 1
    assert "had no version before 1" in refused.err
    sharing = "go where the route says: candidate=0.1 (version 2) stable=0.9 (version 1); "
    assert refused.err.endswith(sharing + END_SHARING)
    assert "no GPU here\n" in two_versions("models", "promote", "scaled", "candidate").out  # all shares lead there
    moved = two_versions("models", "rollback", "scaled").out
    assert moved.startswith("stable of scaled is version 1 again; requests that name no version ")
    assert moved.endswith(sharing + END_SHARING)


def test_a_version_in_use_is_not_removed(two_versions: Run) -> None:
    result = two_versions("models", "remove", "scaled", "--version", "2")
    assert result.code == 1
    assert result.err.endswith(
        "is in use (alias candidate): point that elsewhere or remove it first;"
        " take it away with `headrace models unalias scaled candidate`\n"
    )
    told = two_versions("models", "remove", "scaled", "--version", "1").err
    assert "(alias stable)" in told
    assert "unalias" not in told


def test_an_alias_is_taken_away_and_then_its_version_can_be_removed(two_versions: Run) -> None:
    assert two_versions("models", "unalias", "scaled", "candidate").out == "scaled has no alias candidate any more\n"
    assert aliases(two_versions) == {"stable": 1}
    answer(two_versions, "models", "remove", "scaled", "--version", "2")
    for name, why in (("stable", "would have no answer without it"), ("candidate", "it has stable")):
        refused = two_versions("models", "unalias", "scaled", name)
        assert refused.code == 1
        assert why in refused.err


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
