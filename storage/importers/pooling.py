"""How a sentence model makes one vector of its tokens': what sentence-transformers' modules.json says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from storage.errors import InvalidArtifact
from storage.importers.folder import Folder
from storage.importers.graph import Graph
from storage.manifest import TensorSpec

_MODULES: Final = "modules.json"
_SUPPORTED: Final = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
_TOKENS: Final = ("last_hidden_state", "token_embeddings")  # [batch, tokens, dim]
_WHOLE: Final = ("sentence_embedding", "embeddings")  # [batch, dim]


@dataclass(frozen=True, slots=True)
class Pooling:
    """`kind` is the manifest's; `dim` the size of a vector, -1 where the graph leaves it open."""

    kind: str
    normalize: bool
    dim: int


def find_pooling(folder: Folder, graph: Graph, over: Mapping[str, Any]) -> tuple[Pooling, dict[str, Path]]:
    """The pooling, with `over` (the settings for `text`) above what the folder says, and the files that say it.

    A graph that gives a vector of each token is pooled, one that only gives a vector of each text is taken as it is.
    Raises InvalidArtifact where the model asks for what stands neither in the graph nor in our tasks.
    """
    modules = _modules(folder)
    kinds = [module for module, _ in modules]
    path = next((f"{path}/config.json" for module, path in modules if module == "Pooling"), None)
    files = {path: folder.require(path, _MODULES)} if path else {}
    mode = _mode(folder.json_object(path) if path else {})
    kind = over.get("pooling") or _kind(graph, kinds, mode)
    output = _output(graph, 2, _WHOLE) if kind == "none" else _output(graph, 3, _TOKENS)
    if output is None:
        shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in graph.outputs)
        raise InvalidArtifact(
            "a sentence embedding needs an output [batch, tokens, dim] to pool, or [batch, dim] to take with"
            f' "pooling": "none"; the graph has {shapes}'
        )
    # With modules.json left out, the model was made for its tokens' vectors, and a mean of length 1 is the custom.
    normalize = bool(over.get("normalize", "Normalize" in kinds or not modules))
    return Pooling(kind, normalize, output.shape[-1]), files


def _kind(graph: Graph, modules: list[str], mode: str) -> str:
    if _output(graph, 3, _TOKENS) is None:
        return "none"
    beyond = [module for module in modules if module not in ("Transformer", "Pooling", "Normalize")]
    if mode in _SUPPORTED and not beyond:
        return _SUPPORTED[mode]
    whole = _output(graph, 2, _WHOLE)
    if whole is not None and whole.name in _WHOLE:
        return "none"
    raise InvalidArtifact(
        f"{_MODULES} asks for {', '.join(beyond) or f'pooling by {mode}'}, which the graph leaves out: export the whole"
        " model, so that the graph has the output 'sentence_embedding'"
    )


def _modules(folder: Folder) -> list[tuple[str, str]]:
    """Each module's kind, such as `Pooling`, and its folder."""
    modules = folder.json(_MODULES)
    if modules is None:
        return []
    try:
        return [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in modules]
    except (TypeError, KeyError) as error:
        raise InvalidArtifact(f"{_MODULES} must be a list of modules, each with a type and a path") from error


def _mode(config: Mapping[str, Any]) -> str:
    if isinstance(named := config.get("pooling_mode"), str):
        return named
    prefix = "pooling_mode_"
    modes = [key.removeprefix(prefix) for key, value in config.items() if key.startswith(prefix) and value is True]
    return "+".join(modes) or "mean_tokens"


def _output(graph: Graph, rank: int, names: tuple[str, ...]) -> TensorSpec | None:
    ranked = {spec.name: spec for spec in graph.outputs if len(spec.shape) == rank}
    named = next((ranked[name] for name in names if name in ranked), None)
    return named or (next(iter(ranked.values())) if len(ranked) == 1 else None)
