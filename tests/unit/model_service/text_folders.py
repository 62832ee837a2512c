"""Folders as sentence-transformers and transformers write them, around a graph that looks its tokens' vectors up."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from model_service.engines.base import Array
from model_service.tasks.base import Answer
from storage.importers import import_model
from tests.unit.model_service.graphs import Port, save_graph
from tests.unit.model_service.texts import Loaded, ask

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_TEXT = (
    "the river is high water in berlin query : a b c d e f The River Berlin café cafe é e 水 quick brown fox jumps over"
)
VOCABULARY = {word: index for index, word in enumerate((*SPECIAL, *_TEXT.split(), "lazy", "dog"))}
DIM = 4
TABLE: Array = np.random.default_rng(1).standard_normal((len(VOCABULARY) + 2, DIM)).astype(np.float32)
BERT = {"architectures": ["BertModel"], "model_type": "bert", "max_position_embeddings": 512}
BERT_TOKENIZER = {
    "tokenizer_class": "BertTokenizer",
    "do_lower_case": False,
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
}
_POOLING = {"word_embedding_dimension": DIM, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
_HIDDEN: Port = ("last_hidden_state", TensorProto.FLOAT, ["n", "s", DIM])


def tokenizer(*, lower: bool = False, added: bool = True, unknown: str = "[UNK]") -> Tokenizer:
    """Whole words, between [CLS] and [SEP]."""
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token=unknown))
    made.normalizer = normalizers.BertNormalizer(lowercase=lower)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", VOCABULARY["[CLS]"]), ("[SEP]", VOCABULARY["[SEP]"])]
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    if added:
        made.add_special_tokens(list(SPECIAL))
    return made


def save_lookup(
    folder: Path,
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    nodes: Sequence[NodeProto] = (),
    outputs: Sequence[Port] = (_HIDDEN,),
    constants: dict[str, Any] | None = None,
) -> None:
    """A graph that gives each token's row of `TABLE` as `last_hidden_state`, and what `nodes` make of it."""
    look_up = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    ports = [(name, TensorProto.INT64, ["n", "s"]) for name in inputs]
    folder.mkdir(parents=True, exist_ok=True)
    save_graph(folder / "model.onnx", [look_up, *nodes], ports, outputs, {"table": TABLE, **(constants or {})})


def modules(*kinds: str) -> list[dict[str, Any]]:
    return [
        {
            "idx": index,
            "name": str(index),
            "path": "" if kind == "Transformer" else f"{index}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(kinds)
    ]


def sentence_model(folder: Path, words: Any = None, **files: Any) -> Path:
    """A folder with mean pooling, no normalisation and these files; without a graph it gets `save_lookup`'s."""
    if not (folder / "model.onnx").exists():
        save_lookup(folder)
    (words or tokenizer()).save(str(folder / "tokenizer.json"))
    defaults = {
        "config.json": BERT,
        "modules.json": modules("Transformer", "Pooling"),
        "1_Pooling/config.json": _POOLING,
    }
    for name, content in {**defaults, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def pooling(**more: Any) -> dict[str, Any]:
    return {**_POOLING, **more}


def load(folder: Path, **settings: Any) -> Loaded:
    """The folder's model as it is imported."""
    return Loaded(import_model(folder, settings=settings).manifest, folder)


def mean(*words: str) -> Array:
    """The mean of the words' vectors, of length as it comes."""
    result: Array = TABLE[[VOCABULARY[word] for word in words]].mean(0)
    return result


def vectors(answer: Answer) -> Array:
    (tensor,) = answer.outputs
    return np.frombuffer(tensor.data, np.float32).reshape(tensor.shape)


def embed(loaded: Loaded, *texts: str, **parameters: Any) -> Array:
    return vectors(loaded.answer(ask(*texts, **parameters)))
