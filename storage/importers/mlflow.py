"""A folder that MLflow wrote for an ONNX model: `MLmodel`, and the graph that its flavor `onnx` names."""

import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from storage.errors import InvalidArtifact
from storage.importers.draft import GOLDEN, Draft
from storage.importers.folder import Folder
from storage.importers.graph import read_graph
from storage.importers.settings import refuse_choice
from storage.importers.tensors import check_tensors
from storage.manifest import TensorSpec

MLMODEL: Final = "MLmodel"
_DATATYPES: Final = {
    "bool": "BOOL",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
    "str": "BYTES",
}


def import_mlflow(folder: Folder, settings: Mapping[str, Any]) -> Draft:
    """The model in the folder. Raises InvalidArtifact where it is no ONNX model, or its signature not the graph's."""
    refuse_choice(settings, "model", "folders that hold several graphs")
    refuse_choice(settings, "version", "Triton model repositories")
    mlmodel = _mlmodel(folder)
    flavors = mlmodel.get("flavors")
    if not isinstance(flavors, dict):
        raise InvalidArtifact(f"{MLMODEL} must hold 'flavors', a mapping")
    if not isinstance(flavor := flavors.get("onnx"), dict):
        raise InvalidArtifact(
            f"{MLMODEL} has the flavors {', '.join(map(str, flavors)) or 'none'}, not 'onnx': convert the model and"
            " log it with mlflow.onnx.log_model"
        )
    graph = read_graph(folder, str(flavor.get("data", "model.onnx")))
    signature = mlmodel.get("signature") or {}
    for kind, present in (("input", graph.inputs), ("output", graph.outputs)):
        told = _signature(signature.get(f"{kind}s") if isinstance(signature, dict) else None, present)
        if told:
            check_tensors(kind, told, present, f"{MLMODEL}'s signature")
    golden = folder.find(GOLDEN)
    if golden is None:
        return Draft(folder.root.name, graph)
    return Draft(folder.root.name, graph, {"golden": GOLDEN}, {GOLDEN: golden})


def _mlmodel(folder: Folder) -> dict[str, Any]:
    try:
        mlmodel = yaml.safe_load(folder.text(MLMODEL) or "")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidArtifact(f"{MLMODEL} is not YAML: {error}") from error
    if not isinstance(mlmodel, dict):
        raise InvalidArtifact(f"{MLMODEL} must hold a mapping with 'flavors'")
    return mlmodel


def _signature(text: Any, present: tuple[TensorSpec, ...]) -> list[TensorSpec]:
    """The tensors of a signature. One of columns has none: it describes a table, from which MLflow makes them."""
    if text is None:
        return []
    try:
        entries = json.loads(text)
        if not all(entry["type"] == "tensor" for entry in entries):
            return []
        # MLflow leaves out the name of a tensor that is the only one.
        return [
            TensorSpec.model_validate(
                {
                    "name": entry.get("name") or present[0].name,
                    "datatype": _DATATYPES[entry["tensor-spec"]["dtype"]],
                    "shape": entry["tensor-spec"]["shape"],
                }
            )
            for entry in entries
        ]
    except (TypeError, KeyError, ValueError, RecursionError) as error:
        raise InvalidArtifact(f"{MLMODEL} has a signature that cannot be read: {error!r}") from error
