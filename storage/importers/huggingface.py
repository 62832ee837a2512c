"""A folder as Hugging Face libraries write it: config.json, tokenizer.json and a graph; or one with a graph alone."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from storage.errors import InvalidArtifact
from storage.importers.draft import GOLDEN, Draft
from storage.importers.folder import Folder
from storage.importers.graph import Graph, read_graph
from storage.importers.onnx_file import EXPORT
from storage.importers.settings import merge, refuse_choice
from storage.importers.text import TEXT_TASKS, graph_takes_text, text_fields

# What goes into the artifact beside the graph: what its tasks read, and what makes it a folder that others can load.
KEPT: Final = (
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    GOLDEN,
)
_USUAL: Final = ("onnx/model.onnx", "model.onnx")
_OTHER_WEIGHTS: Final = (".safetensors", ".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack", ".gguf")
# Where a sentence-transformers model keeps its pooling: in the folder of that module.
POOLING_CONFIG: Final = "*_Pooling/config.json"


def import_folder(folder: Folder, settings: Mapping[str, Any], *, name: str | None = None) -> Draft:
    """The model in the folder. Its task is the settings', or else what config.json says of the architecture."""
    refuse_choice(settings, "version", "Triton model repositories")
    graph = read_graph(folder, choose_model(folder.paths(), settings, str(folder.root)))
    config = folder.json_object("config.json")
    task = settings.get("task") or _task(folder, config, graph)
    fields: dict[str, Any] = {"task": task}
    files = {path: file for path in KEPT if (file := folder.find(path)) is not None}
    if GOLDEN in files:
        fields["golden"] = GOLDEN
    if task in TEXT_TASKS:
        text = settings.get("text", {})
        found, text_files = text_fields(task, folder, config, graph, text)
        fields, files = merge(fields, found), files | text_files
    return Draft(name or folder.root.name, graph, fields, files)


def choose_model(paths: Sequence[str], settings: Mapping[str, Any], where: str) -> str:
    """Which of a folder's files is the graph to serve. Raises InvalidArtifact where there is none, or no telling."""
    graphs = [path for path in paths if path.endswith(".onnx")]
    if (chosen := settings.get("model")) is not None:
        # A folder is listed to a depth of one, what is chosen may lie deeper.
        if not chosen.endswith(".onnx") or (chosen not in paths and len(PurePosixPath(chosen).parts) < 3):
            raise InvalidArtifact(f"{where} has no graph {chosen}: {_listed(graphs)}")
        return str(chosen)
    if usual := next((path for path in _USUAL if path in graphs), None):
        return usual
    if len(graphs) == 1:
        return graphs[0]
    if graphs:
        raise InvalidArtifact(f'{where} has several graphs, choose one with the setting "model": {_listed(graphs)}')
    weights = [path for path in paths if path.endswith(_OTHER_WEIGHTS)]
    if weights:
        raise InvalidArtifact(f"{where} has weights ({', '.join(weights[:3])}) but no ONNX graph: {EXPORT}")
    raise InvalidArtifact(f"{where} has no .onnx file in it")


def _listed(graphs: Sequence[str]) -> str:
    return ", ".join(graphs[:20]) or "there are none"


def _task(folder: Folder, config: Mapping[str, Any], graph: Graph) -> str:
    architectures = config.get("architectures")
    architecture = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    if not graph_takes_text(graph):
        return "tensors"
    if architecture.endswith("ForSequenceClassification"):
        return "text-classification"
    if architecture.endswith("ForTokenClassification"):
        return "token-classification"
    if architecture.endswith("Model") or folder.find("modules.json") is not None:
        return "sentence-embedding"
    return "tensors"
