"""Which task stands around an artifact's engine."""

from pathlib import Path

from model_service.engines.base import Engine
from model_service.tasks.base import Task
from model_service.tasks.classification import TextClassificationTask
from model_service.tasks.embedding import EmbeddingTask
from model_service.tasks.tensors import TensorsTask
from model_service.tasks.tokens import TokenClassificationTask
from storage.manifest import Manifest


def open_task(manifest: Manifest, folder: Path, engine: Engine) -> Task:
    """The task for the artifact in `folder`. Raises EngineError where its files or its graph do not fit the task."""
    match manifest.task:
        case "tensors" | "tabular":
            return TensorsTask(manifest, engine)
        case "sentence-embedding":
            return EmbeddingTask(manifest, folder, engine)
        case "text-classification":
            return TextClassificationTask(manifest, folder, engine)
        case "token-classification":
            return TokenClassificationTask(manifest, folder, engine)
