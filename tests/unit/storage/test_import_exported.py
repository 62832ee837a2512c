"""A folder with a manifest of ours comes back as the artifact it was."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from storage.errors import InvalidArtifact
from storage.importers import Import, import_model
from tests.unit.storage.import_sources import (
    FLOAT,
    ROWS,
    external,
    identity,
    model_of,
    save,
    sentence_folder,
    with_weight,
    write,
)


def export(source: Import, folder: Path) -> Path:
    for path, file in source.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / path)
    return write(folder, {"manifest.json": source.manifest.model_dump(mode="json")})


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    settings = {"batching": {"max_rows": 7}, "text": {"max_length": 33}, "description": "about"}
    return export(import_model(sentence_folder(tmp_path / "source"), "mine", settings=settings), tmp_path / "artifact")


def change(folder: Path, **fields: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_what_was_exported_is_imported_with_the_same_digest(artifact: Path, tmp_path: Path) -> None:
    original = import_model(
        tmp_path / "source",
        "mine",
        settings={"batching": {"max_rows": 7}, "text": {"max_length": 33}, "description": "about"},
    )
    result = import_model(artifact)
    assert result.manifest.digest == original.manifest.digest
    assert result.files.keys() == original.files.keys()


def test_what_a_manifest_says_of_caching_does_not_count_where_the_graph_draws_at_random(tmp_path: Path) -> None:
    nodes = [helper.make_node("Bernoulli", ["x"], ["y"], name="coin")]
    source = import_model(save(model_of(nodes, [ROWS], [("y", FLOAT, ["batch", 2])]), tmp_path / "source" / "m.onnx"))
    folder = export(source, tmp_path / "artifact")
    change(folder, cache_ttl_s=3600, cache_reason="")
    manifest = import_model(folder).manifest
    assert (manifest.cache_ttl_s, manifest.cache_reason) == (0, "the node 'coin' (Bernoulli) draws at random")
    assert manifest.digest == source.manifest.digest


def test_name_and_settings_go_over_the_manifest(artifact: Path) -> None:
    manifest = import_model(artifact, "other", settings={"batching": {"max_delay_ms": 1}}).manifest
    assert (manifest.name, manifest.batching.max_delay_ms, manifest.batching.max_rows) == ("other", 1, 7)


def test_a_manifest_cannot_have_rows_share_batches_that_are_not_known_to_be_independent(tmp_path: Path) -> None:
    axis = numpy_helper.from_array(np.array(0), "axis")
    model = model_of([helper.make_node("CumSum", ["x", "axis"], ["y"])], [ROWS], [("y", FLOAT, ["batch", 2])], [axis])
    source = import_model(save(model, tmp_path / "m.onnx"))
    folder = export(source, tmp_path / "artifact")
    change(folder, batching={"max_rows": 32})
    assert import_model(folder).manifest.batching.max_rows == 1
    assert import_model(folder, settings={"batching": {"max_rows": 8}}).manifest.batching.max_rows == 8


def test_a_changed_file_is_refused(artifact: Path) -> None:
    (artifact / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidArtifact, match=r"tokenizer\.json has 2 bytes.*changed or damaged"):
        import_model(artifact)


def test_a_missing_file_is_refused(artifact: Path) -> None:
    (artifact / "tokenizer.json").unlink()
    with pytest.raises(InvalidArtifact, match=r"manifest\.json needs the file tokenizer\.json"):
        import_model(artifact)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"format": 2}, "format: Input should be 1"),
        ({"model": "onnx/other.onnx"}, "not among the files: onnx/other.onnx"),
        ({"files": [{"path": "../up", "sha256": "0" * 64, "size": 1}]}, "leaves the artifact's folder"),
        ({"task": "tensors"}, "has the input 'text', the graph's inputs are 'input_ids'"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(artifact: Path, fields: dict[str, Any], match: str) -> None:
    change(artifact, **fields)
    with pytest.raises(InvalidArtifact, match=match):
        import_model(artifact)


def test_weights_that_the_manifest_does_not_list_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "source", {"w.bin": "12345678"})
    save(with_weight(external("w", "w.bin")), tmp_path / "source" / "m.onnx")
    folder = export(import_model(tmp_path / "source" / "m.onnx"), tmp_path / "artifact")
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    change(folder, files=[file for file in listed if file["path"] != "w.bin"])
    with pytest.raises(InvalidArtifact, match=r"weights lie in w\.bin, which manifest\.json does not list"):
        import_model(folder)


def test_rows_that_the_graph_does_not_have_are_refused(tmp_path: Path) -> None:
    folder = export(import_model(save(identity([1, 2]), tmp_path / "m.onnx")), tmp_path / "artifact")
    change(folder, batching={"max_rows": 2})
    with pytest.raises(InvalidArtifact, match=r"max_rows is 2, but the graph's 'x'"):
        import_model(folder)


def test_a_manifest_json_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    save(identity(), tmp_path / "model.onnx")
    manifest = import_model(write(tmp_path, {"manifest.json": {"short_name": "a web page"}})).manifest
    assert manifest.task == "tensors"
