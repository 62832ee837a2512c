"""The manifest says what can be served, and its digest says which artifact it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from storage.manifest import Manifest, check_path

SHA = "0" * 64
FIELDS: dict[str, Any] = {
    "name": "digits",
    "model": "onnx/model.onnx",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 10]}],
    "files": [
        {"path": "onnx/model.onnx", "sha256": SHA, "size": 3},
        {"path": "tokenizer.json", "sha256": SHA, "size": 2},
    ],
}


def made(**changes: Any) -> Manifest:
    return Manifest.model_validate(FIELDS | changes)


def test_a_manifest_survives_json_and_keeps_its_digest() -> None:
    manifest = made(task="text-classification", text={"labels": ["a", "b"]}, metrics={"accuracy": 0.1 + 0.2})
    again = Manifest.model_validate_json(manifest.model_dump_json())
    assert again == manifest
    assert again.digest == manifest.digest
    assert len(bytes.fromhex(manifest.digest)) == 32


def test_the_digest_does_not_depend_on_the_order_of_keys_nor_on_defaults_being_written_out() -> None:
    explicit = Manifest.model_validate(dict(reversed(made().model_dump(mode="json").items())))
    assert explicit.digest == made().digest


def test_settings_that_are_not_set_leave_the_digest_as_it_was_before_there_were_such_settings() -> None:
    assert made().digest == "69f794d0e9396dc156826cfbda6522480012c64d72c96236f845c617ee881381"
    variant = made(variants=[{"name": "a", "model": "onnx/model.onnx"}])
    assert variant.digest == "dd076cbbcae7967e77b35bfaf7dbd4a3d25f07cafccccff152c31be36801e05d"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 11]}]},
        {"files": [FIELDS["files"][0] | {"sha256": "1" * 64}, FIELDS["files"][1]]},
        {"engine": {"graph_optimization": "none"}},
        {"engine": {"providers": ["tensorrt"], "tensorrt": {"fp16": True}}},
        {"batching": {"tolerance": 0.1}},
        {"cache_ttl_s": 1},
        {"golden": "tokenizer.json"},
    ],
)
def test_whatever_could_change_an_answer_changes_the_digest(change: dict[str, Any]) -> None:
    assert made(**change).digest != made().digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "absent.onnx"}, "not among the files: absent.onnx"),
        ({"golden": "golden.json"}, "not among the files: golden.json"),
        ({"text": {"tokenizer": "vocab.txt"}}, "not among the files: vocab.txt"),
        ({"files": FIELDS["files"] * 2}, "two files have the same path"),
        ({"files": [*FIELDS["files"], FIELDS["files"][1] | {"path": "onnx"}]}, "'onnx' is a file and a folder at once"),
        ({"metrics": {"loss": float("nan")}}, "finite number"),
        ({"files": []}, "at least 1"),
        ({"inputs": []}, "at least 1"),
        ({"task": "sentence-embedding"}, "needs the section 'text'"),
        ({"task": "juggling"}, "task"),
        ({"runtime": "pickle"}, "runtime"),
        ({"inputs": [{"name": "x", "datatype": "FP99", "shape": [1]}]}, "datatype"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-2]}]}, "greater than or equal to -1"),
        ({"files": [FIELDS["files"][0] | {"sha256": "0" * 63}]}, "sha256"),
        ({"files": [FIELDS["files"][0] | {"sha256": "A" * 64}]}, "sha256"),
        ({"files": [FIELDS["files"][0] | {"size": -1}]}, "size"),
        ({"files": [FIELDS["files"][0] | {"path": "../model.onnx"}]}, "leaves the artifact's folder"),
        ({"surprise": 1}, "surprise"),
        ({"batching": {"max_rows": 0}}, "max_rows"),
        ({"model": "tokenizer.json"}, "'tokenizer.json' is not an .onnx file"),
        ({"batching": {"max_rows": True}}, "max_rows"),
        ({"batching": {"max_rows": "8"}}, "max_rows"),
        ({"batching": {"max_delay_ms": True}}, "max_delay_ms"),
        ({"batching": {"batch_invariant": 0}}, "batch_invariant"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [True]}]}, "shape"),
        ({"metrics": {"loss": "0.5"}}, "metrics"),
        ({"cache_ttl_s": False}, "cache_ttl_s"),
        ({"engine": {"tensorrt": {"fp16": True}}}, "engine.providers does not name 'tensorrt'"),
        ({"engine": {"providers": ["tensorrt"], "tensorrt": {"profile_min": "x:1x2"}}}, "a profile needs profile_min"),
        ({"engine": {"providers": ["tensorrt"], "tensorrt": {"profile_min": "x"}}}, "profile_min"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        made(**change)


@pytest.mark.parametrize("path", ["a", "a/b.onnx", "...", "a b", "ä/ö"])
def test_a_file_may_stand_at(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "../a", "a/../b", "a/..", "/a", "//a", "a//b", "a/", "./a", "a\\b", "a\0", "C:\\a", "\udcff"],
)
def test_a_file_may_not_stand_at(path: str) -> None:
    with pytest.raises(ValueError, match=r"folder|plain relative path|not Unicode"):
        check_path(path)


@given(st.lists(st.sampled_from(["a", "..", ".", "", "/", "\\", "b"]), max_size=6).map("/".join))
def test_no_accepted_path_leaves_its_folder(path: str) -> None:
    try:
        check_path(path)
    except ValueError:
        return
    assert all(part not in ("", ".", "..") and "\\" not in part for part in path.split("/"))


def test_an_artifact_s_digest_outlives_settings_that_it_says_nothing_of() -> None:
    """The digest is that of a text model's manifest before its section text had prompts, sides of padding and so on."""
    paths = ("a.onnx", "tokenizer.json")
    manifest = Manifest.model_validate(
        {
            "name": "m",
            "task": "sentence-embedding",
            "model": "a.onnx",
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
            "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [-1, 4]}],
            "files": [{"path": path, "sha256": "0" * 64, "size": 1} for path in paths],
            "text": {"max_length": 256},
        }
    )
    assert manifest.digest == "34889832126aed7fb807c0471b1cf9337eff903884366eddf9368164af611e5a"
    assert manifest.text is not None
    prompted = manifest.text.model_copy(update={"prompts": {"query": "q"}})
    assert manifest.model_copy(update={"text": prompted}).digest != manifest.digest
