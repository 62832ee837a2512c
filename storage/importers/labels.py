"""How a classifier's scores are read: which of the graph's outputs they are, and which class each one is of."""

from collections.abc import Mapping
from typing import Any

from storage.errors import InvalidArtifact
from storage.importers.graph import Graph
from storage.manifest import TensorSpec
from wire.tasks.contract import Contract


def find_labels(task: Contract, config: Mapping[str, Any], graph: Graph, over: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the manifest's section `text` that name the classes, with `over`, its settings, above the folder's.

    Raises InvalidArtifact where the graph has other classes, or none.
    """
    logits = _logits(task, graph, over.get("output"))
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
    activation = "sigmoid" if several_at_once else "softmax"
    if "activation" not in over and (asked := config.get("function_to_apply")) not in (None, activation):
        raise InvalidArtifact(
            f"config.json: function_to_apply is {asked!r:.40}, this task makes scores by {activation}"
        )
    return {"labels": list(labels), "activation": activation, "output": logits.name}


def _logits(task: Contract, graph: Graph, chosen: str | None) -> TensorSpec:
    ranked = [spec for spec in graph.outputs if len(spec.shape) == task.logits_rank]
    if chosen is not None:
        ranked = [spec for spec in ranked if spec.name == chosen]
    if logits := next((spec for spec in ranked if spec.name == "logits" or len(ranked) == 1), None):
        return logits
    shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in graph.outputs)
    raise InvalidArtifact(
        f"the task {task.name} needs an output '{chosen or 'logits'}' of {task.logits_rank} dimensions, the graph has"
        f" {shapes}"
    )


def _id2label(config: Mapping[str, Any]) -> list[str]:
    labels = config.get("id2label") or {}
    try:
        by_index = {int(index): str(label) for index, label in labels.items()}
        return [by_index[index] for index in range(len(labels))]
    except (AttributeError, KeyError, ValueError) as error:
        raise InvalidArtifact('config.json: id2label must map "0", "1" and so on to labels, none left out') from error
