"""Variants: the other graphs of an artifact, and how one of them is chosen."""

from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError

from storage.errors import InvalidArtifact
from storage.importers import import_model
from storage.manifest import Manifest
from tests.unit.model_service.graphs import save_graph
from training.export.manifest import write_manifest

TENSORS = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
}
FILES = ["other.onnx", "model.onnx", "golden_other.json"]
VARIANTS: list[dict[str, Any]] = [
    {"name": "fp32", "model": "model.onnx"},
    {
        "name": "int8",
        "model": "other.onnx",
        "golden": "golden_other.json",
        "engine": {"threads": 3},
        "batching": {"max_rows": 7, "batch_invariant": False},
    },
]


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    for name in ("model.onnx", "other.onnx"):
        node = helper.make_node("Add" if name == "model.onnx" else "Mul", ["x", "x"], ["y"])
        save_graph(tmp_path / name, [node], [("x", TensorProto.FLOAT, ["n", 2])], [("y", TensorProto.FLOAT, ["n", 2])])
    (tmp_path / "golden_other.json").write_text("{}")
    _write(tmp_path)
    return tmp_path


def test_a_chosen_variant_stands_in_for_the_one_that_was_exported_to_be_run(artifact: Path) -> None:
    manifest = import_model(artifact, settings={"variant": "int8"}).manifest
    assert (manifest.model, manifest.golden) == ("other.onnx", "golden_other.json")
    assert (manifest.engine.threads, manifest.batching.max_rows) == (3, 7)
    assert not manifest.batching.batch_invariant
    assert manifest.variants == import_model(artifact).manifest.variants


def test_settings_go_over_those_of_the_chosen_variant(artifact: Path) -> None:
    settings = {"variant": "int8", "engine": {"threads": 1}}
    assert import_model(artifact, settings=settings).manifest.engine.threads == 1


def test_each_variant_is_a_version_of_its_own(artifact: Path) -> None:
    digests = {import_model(artifact, settings={"variant": name}).manifest.digest for name in ("fp32", "int8")}
    assert len(digests) == 2


def test_an_unknown_variant_is_refused_with_those_there_are(artifact: Path) -> None:
    with pytest.raises(InvalidArtifact, match="no variant 'int4'; it has fp32, int8"):
        import_model(artifact, settings={"variant": "int4"})


def test_only_artifacts_have_variants(artifact: Path) -> None:
    with pytest.raises(InvalidArtifact, match="for artifacts"):
        import_model(artifact / "model.onnx", settings={"variant": "fp32"})


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ([{"name": "int8", "model": "other.onnx"}], "'model.onnx' is none of the variants"),
        ([VARIANTS[0], {**VARIANTS[0], "model": "other.onnx"}], "two variants have the same name"),
        ([VARIANTS[0], {"name": "int8", "model": "third.onnx"}], "not among the files: third.onnx"),
        ([VARIANTS[0], {**VARIANTS[1], "golden": "none.json"}], "not among the files: none.json"),
    ],
)
def test_variants_that_cannot_be_are_refused(artifact: Path, variants: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        _write(artifact, variants=variants)


def test_an_artifact_without_variants_keeps_the_digest_that_it_always_had() -> None:
    file = {"path": "m.onnx", "sha256": "0" * 64, "size": 1}
    manifest = Manifest.model_validate({"name": "m", "model": "m.onnx", "files": [file], **TENSORS})
    assert manifest.digest == "d874c28613b80ce30e3924c5201b3a0d4150a77d3c19323015a590051931caa6"


def _write(folder: Path, **changed: Any) -> None:
    write_manifest(folder, FILES, {"name": "m", "model": "model.onnx", "variants": VARIANTS, **TENSORS, **changed})
