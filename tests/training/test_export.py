"""A fine-tuned classifier, exported: what it answers, what is refused, and that a real worker serves it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from datasets import load_from_disk
from tokenizers import Tokenizer

from storage.importers import import_model
from storage.manifest import Manifest
from tests.training.movies import LABELS, trained
from training.export.base import base_of
from training.export.check import Figures, ParityFailed, check, find_wrong, require
from training.export.parity import Difference
from training.export.run import run
from training.export.variants import FILES
from training.recipe.export import Export, Variant
from training.stage import ROWS
from training.tasks.base import Model
from training.tasks.open import open_task

VARIANTS = ("fp32", "fp16", "int8", "int8-static")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("export")
    recipe = trained().recipe(
        export={"variants": VARIANTS, "parity_rows": 64, "calibration_rows": 64, "metric_drop": 0.1}
    )
    return folder / "artifact", run(trained().work(recipe, folder))


def test_every_variant_answers_as_the_trained_model_does(exported):
    artifact, outcome = exported
    model = open_task("text-classification").load(trained().train / "model")
    tokenizer = Tokenizer.from_file(str(artifact / "tokenizer.json"))
    text = load_from_disk(str(trained().data / ROWS))["test"][0]["text"]
    ids = np.array([tokenizer.encode(text).ids], np.int64)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    expected = open_task("text-classification").eager(model)(feeds)["logits"]
    for variant in import_model(artifact).manifest.variants:
        session = onnxruntime.InferenceSession(artifact / variant.model)
        off = np.abs(session.run(["logits"], feeds)[0] - expected).max()
        assert off <= outcome["variants"][variant.name]["tolerance"], variant.name
        assert (off > 0) == (variant.name != "fp32") or off < 1e-5


def test_the_figures_tell_the_variants_apart(exported):
    _, outcome = exported
    figures = outcome["variants"]
    assert figures["fp32"]["largest"] < figures["fp16"]["largest"] < figures["int8"]["largest"]
    assert figures["int8"]["bytes"] < figures["fp16"]["bytes"] < figures["fp32"]["bytes"]
    assert all(found["from_base"] > found["largest"] for found in figures.values())
    assert all(found["metrics"]["accuracy"] > 0.65 for found in figures.values())


def test_quantised_weights_are_integers(exported):
    artifact, _ = exported
    graph = onnx.load(artifact / "onnx/model_quantized.onnx").graph
    assert any(node.op_type in ("MatMulInteger", "DynamicQuantizeMatMul") for node in graph.node)
    static = onnx.load(artifact / "onnx/model_int8.onnx").graph
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in static.node}


def test_the_opset_is_the_recipes_and_the_runtimes_operators_are_in(exported):
    artifact, outcome = exported
    model = onnx.load(artifact / "onnx/model.onnx")
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 20
    assert outcome["fused"]["BiasGelu"] == 2
    assert sum(node.op_type == "BiasGelu" for node in model.graph.node) == 2


def test_a_variant_that_depends_on_its_neighbours_says_so(exported):
    artifact, outcome = exported
    told = {variant.name: variant.batching.batch_invariant for variant in import_model(artifact).manifest.variants}
    assert told["fp32"]
    assert not told["int8"]
    assert outcome["variants"]["int8"]["neighbours"] > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_worker_loads_each_variant_and_reproduces_its_golden_answers(exported, variant):
    artifact, _ = exported
    imported = import_model(artifact, settings={"variant": variant})
    assert imported.manifest.golden is not None
    assert trial(imported.manifest, artifact) == {"error": None, "alone": None}


def test_a_worker_refuses_a_variant_that_answers_otherwise(exported, tmp_path):
    artifact, _ = exported
    changed = tmp_path / "artifact"
    shutil.copytree(artifact, changed)
    golden = json.loads((changed / "golden.json").read_text())
    rows = json.loads(golden["cases"][0]["outputs"][0]["data"][0])
    rows[0]["score"] -= 0.01
    golden["cases"][0]["outputs"][0]["data"][0] = json.dumps(rows)
    (changed / "golden.json").write_text(json.dumps(golden))
    verdict = trial(import_model(artifact).manifest, changed)
    assert verdict["error"] == "GoldenMismatch"
    assert "golden case 1" in verdict["message"]


def test_the_folder_holds_what_other_tools_look_for(exported):
    artifact, _ = exported
    assert {path.relative_to(artifact).as_posix() for path in artifact.rglob("*") if path.is_file()} >= {
        "config.json",
        "golden.json",
        "manifest.json",
        "metrics.json",
        "onnx/model.onnx",
        "onnx/model_fp16.onnx",
        "onnx/model_quantized.onnx",
        "recipe.yaml",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert not [path for path in artifact.rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".pth")]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=artifact, check=True)


def test_the_same_recipe_gives_the_same_artifact_whatever_a_killed_run_left(tmp_path):
    recipe = trained().recipe(export={"variants": ["fp32"], "parity_rows": 32, "metric_drop": 0.1})
    left = tmp_path / "two" / "artifact" / "onnx"
    left.mkdir(parents=True)
    (left / "half.onnx").write_bytes(b"half")
    digests = {run(trained().work(recipe, tmp_path / name))["digest"] for name in ("one", "two")}
    assert len(digests) == 1
    assert not (left / "half.onnx").exists()


def test_a_variant_beyond_its_tolerance_is_refused_with_the_figures(exported):
    with pytest.raises(
        ParityFailed, match=r"^int8: its outputs are up to [0-9.e-]+ from the trained model's, .* 1e-06"
    ):
        require(checked(exported, {"tolerance": {"int8": 1e-6}, "metric_drop": 0.1}, _trained(), _base()))


def test_a_variant_whose_metric_drops_is_refused(exported):
    """By more than nothing, where the recipe allows less than nothing."""
    found = checked(exported, {"metric_drop": 0.1}, _trained(), _base())["int8"]
    assert found.wrong == []
    better = found.metrics["accuracy"] + 0.1
    lines = find_wrong(
        "int8", found, Difference(0.1), Difference(1.0), open_task("text-classification"), better, Export()
    )
    assert lines == [
        f"its accuracy is {better - 0.1:.4f}, the trained model's is {better:.4f}: export.metric_drop allows 0.02"
    ]


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_graph_of_the_base_is_refused(exported, variant):
    other = _trained()
    other.network.bert.load_state_dict(_base().network.bert.state_dict())
    found = checked(exported, {"metric_drop": 1, "tolerance": {variant: 9}}, other, _trained(), variant)
    with pytest.raises(ParityFailed, match="what was exported is the base"):
        require(found)


def test_a_coarse_variant_of_a_model_that_was_hardly_trained_may_be_nearer_to_the_base():
    off, from_base = Difference(0.5, 10.0, 100), Difference(0.5, 6.0, 100)
    found = Figures("model.onnx", 1, 1.0, off.largest, off.mean, from_base.largest, 0.0, {"accuracy": 0.8})
    task = open_task("text-classification")
    assert find_wrong("int8", found, off, from_base, task, 0.8, Export()) == []
    (line,) = find_wrong("int8", found, off, Difference(0.5, 4.0, 100), task, 0.8, Export())
    assert line.startswith("its outputs are 0.04 from the base model's (up to 0.5), and 0.1 from the trained model's")


def test_a_model_that_learnt_nothing_is_refused_in_every_variant(exported):
    for variant in ("fp32", "int8"):
        with pytest.raises(ParityFailed, match=f"{variant}: .*training has changed nothing"):
            require(checked(exported, {"metric_drop": 0.1}, _trained(), _trained(), variant))


def test_the_base_has_the_head_that_was_trained_so_that_a_lost_adapter_shows():
    task, recipe = open_task("text-classification"), trained().recipe()
    lost = task.start(recipe, LABELS)
    lost.network.classifier.load_state_dict(_trained().network.classifier.state_dict())
    rows = load_from_disk(str(trained().data / ROWS))["test"].select(range(8))
    base = base_of(task, lost, recipe)
    assert task.predict(task.eager(base), base, rows) == task.predict(task.eager(lost), lost, rows)
    assert task.predict(task.eager(base), base, rows) != task.predict(task.eager(_trained()), lost, rows)


def checked(
    exported: tuple[Path, dict[str, Any]], block: dict[str, Any], model: Model, base: Model, variant: Variant = "int8"
) -> Any:
    """The figures of that variant beside these models."""
    rows = load_from_disk(str(trained().data / ROWS))["test"].select(range(48))
    paths: dict[Variant, Path] = {variant: exported[0] / FILES[variant]}
    task = open_task("text-classification")
    return check(task, model, base, paths, rows, Export.model_validate(block))[1]


def _trained() -> Model:
    return open_task("text-classification").load(trained().train / "model")


def _base() -> Model:
    return base_of(open_task("text-classification"), _trained(), trained().recipe())


def trial(manifest: Manifest, folder: Path) -> dict[str, Any]:
    """What the trial load of a worker says, a process of its own."""
    command = [sys.executable, "-m", "model_service.trial", str(folder)]
    done = subprocess.run(command, input=manifest.model_dump_json().encode(), capture_output=True, check=True)
    verdict: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return verdict
