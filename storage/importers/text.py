"""What a Hugging Face folder says of a text task: its tokenizer, what makes its answer, how long a text may be."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeGuard

from storage.errors import InvalidArtifact
from storage.importers.folder import Folder
from storage.importers.graph import Graph
from storage.importers.text_heads import open_head
from storage.importers.tokenizer import read_tokenizer
from storage.manifest import TextSettings
from wire.tasks.contract import Contract

_TOKENS: Final = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
# These count positions from the one after the padding token's. Where a graph ends sooner than this makes one think, the
# worker finds out.
_POSITIONS_AFTER_PADDING: Final = frozenset(
    ("camembert", "data2vec-text", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta")
)
_DEFAULT_LENGTH: Final = TextSettings().max_length


def graph_takes_text(graph: Graph) -> bool:
    """Whether the graph's inputs are what a tokenizer gives."""
    names = {spec.name for spec in graph.inputs}
    return "input_ids" in names and names <= set(_TOKENS)


def text_fields(
    task: Contract, folder: Folder, config: Mapping[str, Any], graph: Graph, over: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Path]]:
    """The manifest's fields and the files of a text task; `over` are the settings for the section `text`.

    Raises InvalidArtifact where the folder or the graph lacks what the task needs.
    """
    _check_inputs(task, graph)
    tokenizer = str(over.get("tokenizer", "tokenizer.json"))
    if (file := folder.find(tokenizer)) is None:
        raise InvalidArtifact(
            f"the task {task.name} needs {tokenizer}, which {folder.root} lacks: write it with"
            " AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )
    head = open_head(task, folder)
    sentence = head.sentence
    found = read_tokenizer(folder, tokenizer, config, sentence.tokenizer, lowercase=sentence.lowercase)
    positions = _positions_before(config)
    length = sentence.max_length if "model_max_length" not in sentence.tokenizer else None
    text: dict[str, Any] = {
        "tokenizer": tokenizer,
        "max_length": _max_length(length, found.max_length, config, positions),
        **found.text,
    }
    if positions and any(spec.name == "position_ids" for spec in graph.inputs):
        text["first_position"] = positions
    answer = head.read(config, graph, over)
    inputs = [asdict(tensor) for tensor in task.inputs]
    fields = {"inputs": inputs, "outputs": answer.outputs, "text": {**text, **answer.text}}
    return fields, {tokenizer: file, **sentence.files, **answer.files}


def _check_inputs(task: Contract, graph: Graph) -> None:
    if not graph_takes_text(graph):
        others = ", ".join(f"'{spec.name}'" for spec in graph.inputs if spec.name not in _TOKENS)
        raise InvalidArtifact(
            f"the task {task.name} gives a graph {', '.join(_TOKENS)}, as many of them as it takes, and 'input_ids' in"
            f" any case; this one takes {others or 'no input_ids'}: export it without, or import it with the setting"
            ' "task": "tensors", for clients that send every tensor themselves'
        )
    for spec in graph.inputs:
        if spec.shape != (-1, -1) or spec.datatype not in ("INT32", "INT64"):
            raise InvalidArtifact(
                f"the graph's '{spec.name}' is {spec.datatype} {list(spec.shape)}: export it as INT64 with a batch and"
                " a length of any size (dynamic axes)"
            )


def _max_length(sentence: Any, tokenizer: Any, config: Mapping[str, Any], positions_before: int) -> int:
    if _is_length(length := _number(sentence, "max_seq_length")):
        return length
    if _is_length(positions := _number(config.get("max_position_embeddings"), "max_position_embeddings")):
        positions -= positions_before
    # A tokenizer without a limit of its own says 10**30.
    told = [_number(tokenizer, "model_max_length"), positions]
    return min((length for length in told if _is_length(length)), default=_DEFAULT_LENGTH)


def _positions_before(config: Mapping[str, Any]) -> int:
    """How many positions are kept for padding, before those of a text's tokens."""
    if str(config.get("model_type")) not in _POSITIONS_AFTER_PADDING:
        return 0
    padding = _number(config.get("pad_token_id"), "pad_token_id")
    return 1 + (padding if isinstance(padding, int) else 1)


def _number(value: Any, key: str) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise InvalidArtifact(f"{key} must be a number, it is {value!r:.40}")
    return value


def _is_length(value: int | float | None) -> TypeGuard[int]:
    return isinstance(value, int) and 2 <= value <= 1_000_000
