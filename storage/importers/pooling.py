"""How a sentence model makes one vector of its tokens': what sentence-transformers' modules say, and the graph has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from storage.errors import InvalidArtifact
from storage.importers.folder import Folder
from storage.importers.graph import Graph
from storage.importers.keys import Table, check_keys, harmless, obeyed, only
from storage.importers.sentence import MODULES, Module
from storage.manifest import TensorSpec

_SUPPORTED: Final = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
_TOKENS: Final = ("last_hidden_state", "token_embeddings")  # [batch, tokens, dim]
_WHOLE: Final = ("sentence_embedding", "embeddings")  # [batch, dim]
# A layer on the first token that was trained for something else.
_NOT_WHOLE: Final = ("pooler_output", "logits")
_MODES: Final = tuple(
    f"pooling_mode_{mode}"
    for mode in ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
)
# How wide a token's vector is, by the names that configurations have for it.
_WIDTHS: Final = ("hidden_size", "d_model", "dim", "n_embd")

_POOLING_KEYS: Final[Table] = {
    **dict.fromkeys(
        ("word_embedding_dimension", "embedding_dimension"), obeyed("how wide the output is that is pooled")
    ),
    **dict.fromkeys(("pooling_mode", *_MODES), obeyed("text.pooling")),
    "include_prompt": obeyed("text.include_prompt"),
}
_VECTOR: Final = only("sentence_embedding", None, why="it is the text's vector that is made of length 1")
_NORMALIZE_KEYS: Final[Table] = {"module_input_name": _VECTOR, "module_output_name": _VECTOR}
_DROPOUT_KEYS: Final[Table] = {"dropout": harmless("for training")}


@dataclass(frozen=True, slots=True)
class Pooling:
    """`text` are fields of the manifest's section; `dim` is the size of a vector, -1 where nobody says it."""

    text: dict[str, Any]
    dim: int


def find_pooling(
    folder: Folder, config: Mapping[str, Any], graph: Graph, modules: Sequence[Module], over: Mapping[str, Any]
) -> tuple[Pooling, dict[str, Path]]:
    """The pooling, with `over` (the settings for `text`) above what the folder says, and the files that say it.

    A graph that gives a vector of each token is pooled, one that only gives a vector of each text is taken as it is.
    Raises InvalidArtifact where the model asks for what stands neither in the graph nor in our tasks.
    """
    files = _check_modules(folder, modules)
    path = next((module.config for module in modules if module.kind == "Pooling"), None)
    told = folder.json_object(path) if path is not None else {}
    mode, width = _mode(told), _width(told, config)
    kinds = [module.kind for module in modules]
    kind, output = _output(graph, kinds, mode, width, _whole_width(folder, modules, told, width), over)
    if kind == "none" and told.get("include_prompt") is False:
        raise InvalidArtifact(f"{path}: include_prompt is false, which needs a graph that gives the tokens' vectors")
    text: dict[str, Any] = {
        "pooling": kind,
        # With modules.json left out, the model was made for its tokens' vectors, and a mean of length 1 is the custom.
        "normalize": bool(over.get("normalize", "Normalize" in kinds or not modules)),
        "output": output.name,
    }
    if told.get("include_prompt") is False:
        text["include_prompt"] = False
    known = _whole_width(folder, modules, told, width) if kind == "none" else width
    return Pooling(text, output.shape[-1] if output.shape[-1] != -1 else known), files


def _output(
    graph: Graph, kinds: Sequence[str], mode: str, width: int, whole_width: int, over: Mapping[str, Any]
) -> tuple[str, TensorSpec]:
    """How the graph's output is pooled, and which one it is."""
    chosen = over.get("output")
    tokens = _find(graph, 3, _TOKENS, width, chosen)
    whole = _find(graph, 2, _WHOLE, whole_width, chosen)
    asked = over.get("pooling")
    beyond = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize", "Dropout")]
    if asked != "none" and tokens is not None and (asked is not None or (mode in _SUPPORTED and not beyond)):
        return asked or _SUPPORTED[mode], tokens
    if asked in (None, "none") and whole is not None and (asked or tokens is None or whole.name in _WHOLE):
        return "none", whole
    shapes = ", ".join(f"'{spec.name}' {list(spec.shape)}" for spec in graph.outputs)
    if asked is None and tokens is not None:
        raise InvalidArtifact(
            f"{MODULES} asks for {', '.join(beyond) or f'pooling by {mode}'}, which the graph leaves out: export the"
            " whole model, so that the graph has the output 'sentence_embedding'"
        )
    raise InvalidArtifact(
        f"a sentence embedding needs an output [batch, tokens, {_size(width)}] to pool, or [batch,"
        f' {_size(whole_width)}] to take with "pooling": "none" (the sizes are the folder\'s); the graph has {shapes}:'
        ' name one with the setting "text": {"output": ...}'
    )


def _find(graph: Graph, rank: int, names: tuple[str, ...], width: int, chosen: str | None) -> TensorSpec | None:
    """The output of that rank and width: the chosen one, or the first of `names` that there is, or the only one."""
    ranked = {
        spec.name: spec
        for spec in graph.outputs
        if len(spec.shape) == rank and (width == -1 or spec.shape[-1] in (-1, width))
    }
    if chosen is not None:
        return ranked.get(chosen)
    if named := next((ranked[name] for name in names if name in ranked), None):
        return named
    others = [spec for spec in ranked.values() if spec.name not in _NOT_WHOLE]
    return others[0] if len(others) == 1 else None


def _check_modules(folder: Folder, modules: Sequence[Module]) -> dict[str, Path]:
    """The files that modules read. Raises InvalidArtifact for what is not obeyed in them, or in their order."""
    files: dict[str, Path] = {}
    kinds = [module.kind for module in modules if module.kind not in ("Dropout", "Dense")]
    known = [kind for kind in kinds if kind in ("Transformer", "Pooling", "Normalize")]
    if known != sorted(known, key=("Transformer", "Pooling", "Normalize").index) or known.count("Pooling") > 1:
        raise InvalidArtifact(f"{MODULES}: modules must be Transformer, Pooling, Normalize, in this order; not {known}")
    for module in modules:
        if module.kind == "Transformer" and module.path:
            raise InvalidArtifact(
                f"{MODULES} has the Transformer's files in {module.path}: they must lie in the folder itself, as"
                " sentence-transformers saves them since version 0.4"
            )
        tables = {"Pooling": _POOLING_KEYS, "Normalize": _NORMALIZE_KEYS, "Dropout": _DROPOUT_KEYS}
        if (table := tables.get(module.kind)) is None:
            continue
        if module.kind == "Pooling":
            files[module.config] = folder.require(module.config, MODULES)
        elif (file := folder.find(module.config)) is not None:
            files[module.config] = file
        check_keys(module.config, folder.json_object(module.config), table)
    return files


def _width(told: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    """How wide a token's vector is, as Pooling's configuration says, or else the network's; -1 where neither does."""
    stated = [told.get("embedding_dimension"), told.get("word_embedding_dimension"), *map(config.get, _WIDTHS)]
    return next((width for width in stated if type(width) is int and width > 0), -1)


def _whole_width(folder: Folder, modules: Sequence[Module], told: Mapping[str, Any], width: int) -> int:
    """How wide a text's vector is, after pooling in several ways, and after layers that change it."""
    dense = [module for module in modules if module.kind == "Dense"]
    if dense:
        out = folder.json_object(dense[-1].config).get("out_features")
        return out if type(out) is int and out > 0 else -1
    return width * (1 + _mode(told).count("+")) if width != -1 else -1


def _size(width: int) -> str:
    return "dim" if width == -1 else str(width)


def _mode(config: Mapping[str, Any]) -> str:
    if isinstance(named := config.get("pooling_mode"), str | list):
        return named if isinstance(named, str) else "+".join(map(str, named))
    prefix = "pooling_mode_"
    modes = [key.removeprefix(prefix) for key in _MODES if config.get(key) is True]
    return "+".join(modes) or "mean_tokens"
