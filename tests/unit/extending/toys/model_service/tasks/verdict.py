"""Texts in, for each the likeliest label out. The task `verdict`."""

from collections.abc import Sequence
from pathlib import Path

from model_service.engines.base import Array, Arrays, Engine
from model_service.tasks.base import Answer, Item, Task
from model_service.tasks.text import TextTask, graph_output
from model_service.tasks.text_classification import class_labels
from storage.manifest import Manifest
from wire.messages import InferRequest
from wire.tasks.verdict import CAPITALS, CONTRACT
from wire.tensors import bytes_tensor


class VerdictTask(TextTask):
    def __init__(self, manifest: Manifest, folder: Path, engine: Engine) -> None:
        super().__init__(manifest, folder, engine)
        self._logits = graph_output(engine, CONTRACT.logits_rank, "logits")
        self._labels = class_labels(manifest, engine, self._logits)

    def prepare(self, request: InferRequest) -> list[Item]:
        CAPITALS.read(request.parameters)
        return super().prepare(request)

    def scatter(self, items: Sequence[Item], outputs: Arrays) -> list[Array]:
        return list(outputs[self._logits])

    def respond(self, request: InferRequest, items: Sequence[Item], results: Sequence[Array]) -> Answer:
        labels = [self._labels[int(result.argmax())] for result in results]
        words = [label.upper() if CAPITALS.read(request.parameters) else label for label in labels]
        return Answer([bytes_tensor(self._output.name, [word.encode() for word in words])])


def open_task(manifest: Manifest, folder: Path, engine: Engine) -> Task:
    return VerdictTask(manifest, folder, engine)
