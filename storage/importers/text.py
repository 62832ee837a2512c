"""What a Hugging Face folder says of a text task: its labels, its pooling, how long a text may be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard

from storage.errors import InvalidArtifact
from storage.importers.folder import Folder
from storage.importers.graph import Graph
from storage.importers.pooling import find_pooling
from storage.manifest import TensorSpec, TextSettings

TEXT_TASKS: Final = ("sentence-embedding", "text-classification", "token-classification")
_TOKENS: Final = ("input_ids", "attention_mask", "token_type_ids")
# These count positions from the one after the padding token's.
_POSITIONS_AFTER_PADDING: Final = frozenset(
    ("camembert", "data2vec-text", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta")
)
_DEFAULT_LENGTH: Final = TextSettings().max_length


def graph_takes_text(graph: Graph) -> bool:
    """Whether the graph's inputs are what a tokenizer gives."""
    names = {spec.name for spec in graph.inputs}
    return "input_ids" in names and names <= set(_TOKENS)


def text_fields(
    task: str, folder: Folder, config: Mapping[str, Any], graph: Graph, over: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Path]]:
    """The manifest's fields and the files of a text task; `over` are the settings for the section `text`.

    Raises InvalidArtifact where the folder or the graph lacks what the task needs.
    """
    _check_inputs(task, graph)
    tokenizer = str(over.get("tokenizer", "tokenizer.json"))
    if (file := folder.find(tokenizer)) is None:
        raise InvalidArtifact(
            f"the task {task} needs {tokenizer}, which {folder.root} lacks: write it with"
            " AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )
    files = {tokenizer: file}
    text: dict[str, Any] = {"tokenizer": tokenizer, "max_length": _max_length(folder, config)}
    if task == "sentence-embedding":
        pooling, pooling_files = find_pooling(folder, graph, over)
        text |= {"pooling": pooling.kind, "normalize": pooling.normalize}
        files |= pooling_files
        output = {"name": "embedding", "datatype": "FP32", "shape": [-1, pooling.dim]}
    else:
        text |= _labels(task, config, graph, over)
        output = {
            "name": "labels" if task == "text-classification" else "entities",
            "datatype": "BYTES",
            "shape": [-1],
        }
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    return {"inputs": inputs, "outputs": [output], "text": text}, files


def _check_inputs(task: str, graph: Graph) -> None:
    if not graph_takes_text(graph):
        names = ", ".join(spec.name for spec in graph.inputs)
        raise InvalidArtifact(
            f"the task {task} gives a graph {', '.join(_TOKENS)}, this one takes {names}:"
            ' import it with the setting "task": "tensors"'
        )
    for spec in graph.inputs:
        if spec.shape != (-1, -1) or spec.datatype not in ("INT32", "INT64"):
            raise InvalidArtifact(
                f"the graph's '{spec.name}' is {spec.datatype} {list(spec.shape)}: export it as INT64 with a batch and"
                " a length of any size (dynamic axes)"
            )


def _labels(task: str, config: Mapping[str, Any], graph: Graph, over: Mapping[str, Any]) -> dict[str, Any]:
    logits = _logits(task, graph)
    classes = logits.shape[-1]
    labels = over.get("labels") or _id2label(config)
    if not labels:
        if classes == -1:
            raise InvalidArtifact("neither config.json (id2label) nor the graph says how many classes there are")
        labels = [f"LABEL_{index}" for index in range(classes)]
    if classes not in (-1, len(labels)):
        raise InvalidArtifact(f"there are {len(labels)} labels, the graph's '{logits.name}' has {classes} classes")
    if config.get("problem_type") == "regression":
        raise InvalidArtifact(
            'config.json says problem_type "regression", whose number is no score of a label:'
            ' import it with the setting "task": "tensors"'
        )
    # Softmax over a single class is 1 whatever the text.
    several_at_once = config.get("problem_type") == "multi_label_classification" or len(labels) == 1
    return {"labels": list(labels), "activation": "sigmoid" if several_at_once else "softmax"}


def _logits(task: str, graph: Graph) -> TensorSpec:
    rank = 2 if task == "text-classification" else 3
    ranked = [spec for spec in graph.outputs if len(spec.shape) == rank]
    if logits := next((spec for spec in ranked if spec.name == "logits" or len(ranked) == 1), None):
        return logits
    shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in graph.outputs)
    raise InvalidArtifact(f"the task {task} needs an output 'logits' of {rank} dimensions, the graph has {shapes}")


def _id2label(config: Mapping[str, Any]) -> list[str]:
    labels = config.get("id2label") or {}
    try:
        by_index = {int(index): str(label) for index, label in labels.items()}
        return [by_index[index] for index in range(len(labels))]
    except (AttributeError, KeyError, ValueError) as error:
        raise InvalidArtifact('config.json: id2label must map "0", "1" and so on to labels, none left out') from error


def _max_length(folder: Folder, config: Mapping[str, Any]) -> int:
    sentence = _number(folder.json_object("sentence_bert_config.json"), "max_seq_length")
    if _is_length(sentence):
        return sentence
    positions = _number(config, "max_position_embeddings")
    if _is_length(positions) and str(config.get("model_type")) in _POSITIONS_AFTER_PADDING:
        padding = _number(config, "pad_token_id")
        positions -= 1 + (padding if isinstance(padding, int) else 1)
    # A tokenizer without a limit of its own says 10**30.
    told = [_number(folder.json_object("tokenizer_config.json"), "model_max_length"), positions]
    return min((length for length in told if _is_length(length)), default=_DEFAULT_LENGTH)


def _number(config: Mapping[str, Any], key: str) -> int | float | None:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise InvalidArtifact(f"{key} must be a number, it is {value!r:.40}")
    return value


def _is_length(value: int | float | None) -> TypeGuard[int]:
    return isinstance(value, int) and 2 <= value <= 1_000_000
