"""Values that are not what they should be, in the files of others: imported or refused, never a traceback."""

import copy
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.errors import InvalidArtifact
from storage.importers import import_model
from tests.unit.storage.import_sources import FLOAT, identity, save, sentence_folder, text_graph, write
from tests.unit.storage.test_import_triton import CONFIG, repository
from training.export.manifest import write_manifest

Keys = tuple[str | int, ...]
ODD: tuple[Any, ...] = (True, False, "8", "x", None, [], {}, [1], {"a": 1}, 1.5, -1, 10**30, "\ud800", "9" * 5000)
SENTENCE: dict[str, Any] = {
    "config.json": {"architectures": ["RobertaModel"], "model_type": "roberta", "max_position_embeddings": 130},
    "tokenizer_config.json": {"model_max_length": 512},
    "sentence_bert_config.json": {"max_seq_length": 256},
    "modules.json": [{"path": "", "type": "a.Transformer"}, {"path": "1_Pooling", "type": "a.Pooling"}],
    "1_Pooling/config.json": {"pooling_mode_cls_token": True},
}
CLASSIFIER: dict[str, Any] = {
    "config.json": {
        "architectures": ["RobertaForSequenceClassification"],
        "model_type": "roberta",
        "max_position_embeddings": 130,
        "pad_token_id": 1,
        "problem_type": "single_label_classification",
        "id2label": {"0": "a", "1": "b"},
    },
    "tokenizer_config.json": {"model_max_length": 512},
}
SIGNATURE = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}, "name": "x"}]
TENSOR: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}


def changed(value: Any) -> Iterator[tuple[Any, str]]:
    """`value` with each part of it in turn replaced by each odd value, and what was done."""
    for keys in places(value):
        for odd in ODD:
            other = {"": copy.deepcopy(value)}
            part: Any = other
            *way, last = ("", *keys)
            for key in way:
                part = part[key]
            part[last] = odd
            yield other[""], f"{keys} is {odd!r:.40}"


def places(value: Any) -> Iterator[Keys]:
    yield ()
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from ((key, *rest) for rest in places(part))


def tried(source: Path, what: str) -> None:
    """Import it, which may refuse it, and do nothing else."""
    try:
        with suppress(InvalidArtifact):
            import_model(source)
    except Exception as error:
        raise AssertionError(f"{what}: {error!r}") from error


@pytest.mark.parametrize(("graph", "files"), [("sentence", SENTENCE), ("classifier", CLASSIFIER)])
def test_in_a_hugging_face_folder(tmp_path: Path, graph: str, files: dict[str, Any]) -> None:
    sentence_folder(tmp_path, **SENTENCE)
    if graph == "classifier":
        save(text_graph([("logits", FLOAT, ["batch", 2])]), tmp_path / "onnx" / "model.onnx")
        for name in ("modules.json", "sentence_bert_config.json"):
            (tmp_path / name).unlink()
    import_model(write(tmp_path, files))
    for name, content in files.items():
        for other, what in changed(content):
            tried(write(tmp_path, {name: json.dumps(other)}), f"{name}: {what}")
        write(tmp_path, {name: content})


def test_in_an_mlflow_folder(tmp_path: Path) -> None:
    save(identity(), tmp_path / "model.onnx")
    mlmodel = {"flavors": {"onnx": {"data": "model.onnx"}}, "signature": {"inputs": json.dumps(SIGNATURE)}}
    import_model(write(tmp_path, {"MLmodel": yaml.safe_dump(mlmodel)}))
    signatures = (({**mlmodel, "signature": {"inputs": json.dumps(other)}}, what) for other, what in changed(SIGNATURE))
    for other, what in (*changed(mlmodel), *signatures):
        with suppress(UnicodeEncodeError):
            tried(write(tmp_path, {"MLmodel": yaml.safe_dump(other)}), what)


def test_in_a_triton_config(tmp_path: Path) -> None:
    import_model(repository(tmp_path, CONFIG))
    odd = ("true", '"8"', "99", "-1", "1.5", "99999999999", "9223372036854775807", "TYPE_FP32", "[]", "{}", '"\\377"')
    for found in re.finditer(r"(?<=[:\[] )[^\s,\]\[{}]+", CONFIG):
        for value in odd:
            config = CONFIG[: found.start()] + value + CONFIG[found.end() :]
            tried(write(tmp_path, {"net/config.pbtxt": config}), f"{found.group()} is {value}")


def test_in_an_exported_manifest(tmp_path: Path) -> None:
    save(identity(), tmp_path / "model.onnx")
    fields = {"name": "m", "model": "model.onnx", "inputs": [TENSOR], "outputs": [{**TENSOR, "name": "y"}]}
    write_manifest(tmp_path, ["model.onnx"], {**fields, "text": {"tokenizer": "model.onnx"}})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    import_model(tmp_path)
    for other, what in changed(manifest):
        tried(write(tmp_path, {"manifest.json": json.dumps(other)}), what)


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("config.json", "max_position_embeddings"),
        ("config.json", "pad_token_id"),
        ("tokenizer_config.json", "model_max_length"),
        ("sentence_bert_config.json", "max_seq_length"),
    ],
)
@pytest.mark.parametrize("value", [True, "512", [512]])
def test_a_length_that_is_no_number_is_refused_by_name(tmp_path: Path, file: str, key: str, value: Any) -> None:
    files = {**SENTENCE, "sentence_bert_config.json": {}}
    with pytest.raises(InvalidArtifact, match=f"{key} must be a number"):
        import_model(sentence_folder(tmp_path, **{**files, file: {**files[file], key: value}}))


@pytest.mark.parametrize("shape", [[True, 2], ["-1", 2], [-1.0, 2]])
def test_a_signatures_dimension_that_is_no_whole_number_is_refused(tmp_path: Path, shape: list[Any]) -> None:
    save(identity(), tmp_path / "model.onnx")
    inputs = json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": shape}}])
    mlmodel = {"flavors": {"onnx": {"data": "model.onnx"}}, "signature": {"inputs": inputs}}
    with pytest.raises(InvalidArtifact, match="signature that cannot be read"):
        import_model(write(tmp_path, {"MLmodel": yaml.safe_dump(mlmodel)}))


@pytest.mark.parametrize("value", ["99", "-1", "99999999999"])
def test_a_data_type_that_triton_does_not_have_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidArtifact, match=r"not a Triton model configuration|has the data type"):
        import_model(repository(tmp_path, CONFIG.replace("TYPE_FP32 dims", f"{value} dims")))


@pytest.mark.parametrize("version", [True, "9" * 5000, "01", 1.0, "x"])
def test_a_triton_version_that_is_no_number_of_a_folder_is_refused(tmp_path: Path, version: object) -> None:
    with pytest.raises(InvalidArtifact, match="has no version"):
        import_model(repository(tmp_path, CONFIG), settings={"version": version})
