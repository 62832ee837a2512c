"""Small models, in the forms in which users have them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, save_model

Value = tuple[str, int, Sequence[int | str | None]]
FLOAT, INT64 = int(TensorProto.FLOAT), int(TensorProto.INT64)
ROWS: Value = ("x", FLOAT, ["batch", 2])


def model_of(
    nodes: Sequence[NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    weights: Sequence[TensorProto] = (),
    **more: Any,
) -> ModelProto:
    """A model of one graph; a shape's dimension is a size, a symbol, or None for one without a name."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        initializer=weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10, **more)


def identity(shape: Sequence[int | str | None] = ("batch", 2), element: int = FLOAT) -> ModelProto:
    """x -> y, of the same shape."""
    return model_of([helper.make_node("Identity", ["x"], ["y"])], [("x", element, shape)], [("y", element, shape)])


def save(model: ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, path)
    return path


def write(folder: Path, files: dict[str, Any]) -> Path:
    """Each file with its content: text as it is, anything else as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def external(name: str, location: str, **entries: str | int) -> TensorProto:
    """An FP32 tensor of two elements whose bytes lie in another file."""
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def with_weight(tensor: TensorProto) -> ModelProto:
    """x + the tensor, which is one of the graph's own weights."""
    return model_of(
        [helper.make_node("Add", ["x", tensor.name], ["y"])], [ROWS], [("y", FLOAT, ["batch", 2])], [tensor]
    )


def text_graph(outputs: Sequence[Value], inputs: Sequence[str] = ("input_ids", "attention_mask")) -> ModelProto:
    """Takes tokens; gives zeros of the shapes of `outputs`, in which "batch" and "tokens" are the input's own."""
    nodes, weights = [helper.make_node("Shape", ["input_ids"], ["size"])], []
    for name, _, shape in outputs:
        parts = []
        for at, size in enumerate(shape):
            part = f"{name}_{at}"
            if isinstance(size, int):
                weights.append(numpy_helper.from_array(np.array([size], np.int64), part))
            else:
                index = f"{part}_index"
                weights.append(numpy_helper.from_array(np.array([0 if size == "batch" else 1], np.int64), index))
                nodes.append(helper.make_node("Gather", ["size", index], [part]))
            parts.append(part)
        nodes.append(helper.make_node("Concat", parts, [f"{name}_shape"], axis=0))
        nodes.append(helper.make_node("ConstantOfShape", [f"{name}_shape"], [name]))
    return model_of(nodes, [(name, INT64, ["batch", "tokens"]) for name in inputs], outputs, weights)


HIDDEN: Value = ("last_hidden_state", FLOAT, ["batch", "tokens", 8])
# What the `tokenizers` library reads, of one word.
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "word": 1}, "unk_token": "[UNK]"},
}


def sentence_folder(folder: Path, **files: Any) -> Path:
    """A sentence-transformers folder with its graph in onnx/; `files` are added to it."""
    save(text_graph([HIDDEN]), folder / "onnx" / "model.onnx")
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    defaults = {
        "config.json": {"architectures": ["BertModel"], "max_position_embeddings": 512},
        "tokenizer.json": TOKENIZER,
        "tokenizer_config.json": {"model_max_length": 512},
        "sentence_bert_config.json": {"max_seq_length": 256},
        "modules.json": modules,
        "1_Pooling/config.json": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
    }
    return write(folder, {**defaults, **files})
