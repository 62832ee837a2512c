"""What lies beside a graph and is not read: where it suggests more than tensors in and out, people are told."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from storage.errors import InvalidArtifact
from storage.importers.folder import Folder
from storage.importers.graph import Graph
from wire.tasks.contract import Contract
from wire.tasks.table import TASKS

TOKENIZERS: Final = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
    "vocab.json",
)
# By the file that says how, what other libraries do around such a graph.
_AROUND: Final[Mapping[str, str]] = {
    "preprocessor_config.json": "make pictures or sound into tensors",
    "processor_config.json": "make pictures, sound or texts into tensors",
    "image_processor_config.json": "make pictures into tensors",
    "genai_config.json": "generate text, token by token",
}
_PYTHON: Final = (".joblib", ".pkl", ".pickle")
# A manifest.json of ours has all of them.
OURS: Final = frozenset(("format", "runtime", "files"))
_RAW: Final = "it is served as a model of raw tensors"


def check_purpose(where: str, paths: Sequence[str], config: Mapping[str, Any], graph: Graph) -> None:
    """Raises InvalidArtifact for a text model of which no file says what it is for, as nobody has named its task."""
    if config.get("architectures") or not _of_tokens(graph) or not (found := _tokenizers(paths)):
        return
    *names, last = [task.name for task in TASKS if task.takes_text]
    missing = 'config.json names no "architectures"' if config else "there is no config.json"
    raise InvalidArtifact(
        f"{where} holds a text model ({', '.join(found)}; its graph takes 'input_ids'), but {missing} to say what"
        f" for: add the model's config.json, or name the task with --set task={', '.join(names)} or {last}, or"
        " task=tensors for clients that send the tokens themselves"
    )


def notes_on(
    folder: Folder, paths: Sequence[str], task: Contract, config: Mapping[str, Any], graph: Graph, *, chosen: bool
) -> Sequence[str]:
    """What people should know of files at `paths` that are not used; not of a task, where somebody has `chosen` it."""
    around = _around(paths, config, graph) if not task.takes_text and not chosen else ()
    return [*around, *_list_left_out(folder, paths)]


def _around(paths: Sequence[str], config: Mapping[str, Any], graph: Graph) -> Iterator[str]:
    names = config.get("architectures")
    architecture = str(names[0]) if isinstance(names, list) and names else "this model"
    if _of_tokens(graph) and (found := _tokenizers(paths)):
        yield f"{_RAW}, and clients send the tokens: there is no task for {architecture}, so {found[0]} is not used"
    for path, what in _AROUND.items():
        if path in paths:
            yield f"{_RAW}: nothing here reads {path} to {what}"


def _list_left_out(folder: Folder, paths: Sequence[str]) -> Iterator[str]:
    pickles = [path for path in paths if path.endswith(_PYTHON)]
    if pickles:
        yield f"not read: {', '.join(pickles[:3])}; what the graph itself does not do is left to clients"
    manifest = folder.json("manifest.json")
    if isinstance(manifest, dict) and OURS & manifest.keys():
        missing = ", ".join(sorted(OURS - manifest.keys()))
        yield f"manifest.json is not read, as it is none of headrace's: it lacks {missing}"


def note_on_file(folder: Folder, graph: Graph) -> Sequence[str]:
    """A note where a graph was named by itself, though the files of a text model lie beside or above it."""
    if not _of_tokens(graph):
        return []
    for place in (folder, Folder.at(folder.root.parent)) if folder.root.name == "onnx" else (folder,):
        if found := _tokenizers(place.paths()):
            texts = f"to have it take texts, add the folder {place.root}, which has {found[0]}"
            return [f"{_RAW}, and clients send the tokens: {texts}"]
    return []


def _tokenizers(paths: Sequence[str]) -> list[str]:
    return [path for path in TOKENIZERS if path in paths]


def _of_tokens(graph: Graph) -> bool:
    return any(spec.name == "input_ids" for spec in graph.inputs)
