"""A folder as Hugging Face libraries write it: config.json, tokenizer.json and a graph; or one with a graph alone."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from storage.errors import InvalidArtifact
from storage.importers.beside import check_purpose, notes_on
from storage.importers.draft import GOLDEN, Draft
from storage.importers.folder import Folder
from storage.importers.graph import Graph, read_graph
from storage.importers.onnx_file import EXPORT
from storage.importers.sentence import MODULES, SETTINGS, TRANSFORMER
from storage.importers.settings import merge, refuse_choice
from storage.importers.text import text_fields
from storage.importers.tokenizer import ADDED, CONFIG, SPECIAL
from wire.tasks.contract import Contract
from wire.tasks.table import PLAIN, TASKS, task_named

# What goes into the artifact beside the graph: what its tasks read, and what makes it a folder that others can load.
KEPT: Final = ("config.json", SETTINGS, MODULES, *TRANSFORMER, SPECIAL, ADDED, "tokenizer.json", CONFIG, GOLDEN)
_USUAL: Final = ("onnx/model.onnx", "model.onnx")
_OTHER_WEIGHTS: Final = (".safetensors", ".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack", ".gguf")
# Where a sentence-transformers model keeps what it says of a module: in the folder of that module.
MODULE_CONFIGS: Final = "[0-9]*_*/config.json"


def import_folder(
    folder: Folder, settings: Mapping[str, Any], *, name: str | None = None, paths: Sequence[str] | None = None
) -> Draft:
    """The model in the folder. Its task is the settings', or else what config.json says of the architecture.

    `paths` are the files that there are, where the folder holds but a part of them.
    """
    refuse_choice(settings, "version", "Triton model repositories")
    paths = folder.paths() if paths is None else paths
    graph = read_graph(folder, choose_model(paths, settings, str(folder.root)))
    config = folder.json_object("config.json")
    chosen = settings.get("task")
    task = task_named(chosen) if chosen else _task(folder, paths, config, graph)
    fields: dict[str, Any] = {"task": task.name}
    files = {path: file for path in KEPT if (file := folder.find(path)) is not None}
    if GOLDEN in files:
        fields["golden"] = GOLDEN
    if task.takes_text:
        text = settings.get("text", {})
        found, text_files = text_fields(task, folder, config, graph, text)
        fields, files = merge(fields, found), files | text_files
    notes = notes_on(folder, paths, task, config, graph, chosen=chosen is not None)
    return Draft(name or folder.root.name, graph, fields, files, notes)


def choose_model(paths: Sequence[str], settings: Mapping[str, Any], where: str) -> str:
    """Which of a folder's files is the graph to serve. Raises InvalidArtifact where there is none, or no telling."""
    graphs = [path for path in paths if path.endswith(".onnx")]
    if (chosen := settings.get("model")) is not None:
        # A folder is listed to a depth of one, what is chosen may lie deeper.
        if not chosen.endswith(".onnx") or (chosen not in paths and len(PurePosixPath(chosen).parts) < 3):
            raise InvalidArtifact(f"{where} has no graph {chosen}: {_list(graphs)}")
        return str(chosen)
    if usual := next((path for path in _USUAL if path in graphs), None):
        return usual
    if len(graphs) == 1:
        return graphs[0]
    if graphs:
        raise InvalidArtifact(f'{where} has several graphs, choose one with the setting "model": {_list(graphs)}')
    weights = [path for path in paths if path.endswith(_OTHER_WEIGHTS)]
    if weights:
        raise InvalidArtifact(f"{where} has weights ({', '.join(weights[:3])}) but no ONNX graph: {EXPORT}")
    raise InvalidArtifact(f"{where} has no .onnx file in it")


def _list(graphs: Sequence[str]) -> str:
    return ", ".join(graphs[:20]) or "there are none"


def _task(folder: Folder, paths: Sequence[str], config: Mapping[str, Any], graph: Graph) -> Contract:
    architectures = config.get("architectures")
    architecture = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    sentence = folder.find(MODULES) is not None
    # A text model whose graph asks for more than tokens is refused, by the name of what it asks for, where it is taken
    # apart as one: it would be no text model any more.
    if not sentence and all(spec.name != "input_ids" for spec in graph.inputs):
        return PLAIN
    if found := next((task for task in TASKS if architecture.endswith(task.architectures)), None):
        return found
    if sentence:
        return next(task for task in TASKS if task.embeds)
    check_purpose(str(folder.root), paths, config, graph)
    return PLAIN
