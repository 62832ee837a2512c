"""What makes a text model's answer: for each head that a task may have, what the graph and the folder say of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from storage.importers.folder import Folder
from storage.importers.graph import Graph
from storage.importers.labels import find_labels
from storage.importers.pooling import find_pooling
from storage.importers.sentence import Sentence, read_sentence
from wire.tasks.contract import Contract


@dataclass(frozen=True, slots=True)
class Answer:
    """What the manifest says of it: its outputs, and fields of its section `text`; `files` are those that say so."""

    outputs: list[dict[str, Any]]
    text: Mapping[str, Any]
    files: Mapping[str, Path] = field(default_factory=dict)


class Head(Protocol):
    """Of one folder; `sentence` is what sentence-transformers says in it, where the task goes by that."""

    @property
    def sentence(self) -> Sentence: ...

    def read(self, config: Mapping[str, Any], graph: Graph, over: Mapping[str, Any]) -> Answer:
        """The answer, with `over` (the settings for `text`) above what the folder says. Raises InvalidArtifact."""
        ...


def open_head(task: Contract, folder: Folder) -> Head:
    """The reader of the task's head: a new kind of head gets its case here. Raises InvalidArtifact."""
    match task.head:
        case "vectors":
            return Vectors(task, folder, read_sentence(folder))
        case "labels":
            return Labels(task)
        case None:
            raise AssertionError(f"the contract of {task.name} takes text, and names no head")


@dataclass(frozen=True, slots=True)
class Vectors:
    """A vector for each text, which the graph gives or which is pooled from those of its tokens."""

    task: Contract
    folder: Folder
    sentence: Sentence

    def read(self, config: Mapping[str, Any], graph: Graph, over: Mapping[str, Any]) -> Answer:
        pooling, files = find_pooling(self.folder, config, graph, self.sentence.modules, over)
        text = {**self.sentence.text, **pooling.text}
        dim = text.get("dimensions") if "dimensions" not in over else over["dimensions"]
        if isinstance(dim, int) and 0 < pooling.dim < dim:
            dim = None  # there is nothing to cut
        text["dimensions"] = dim
        (output,) = self.task.outputs
        return Answer([{**asdict(output), "shape": [-1, dim or pooling.dim]}], text, files)


@dataclass(frozen=True, slots=True)
class Labels:
    """Scores of classes, for each text or for each of its tokens."""

    task: Contract
    sentence: Sentence = field(default_factory=Sentence)

    def read(self, config: Mapping[str, Any], graph: Graph, over: Mapping[str, Any]) -> Answer:
        outputs = [{**asdict(output), "shape": list(output.shape)} for output in self.task.outputs]
        return Answer(outputs, find_labels(self.task, config, graph, over))
