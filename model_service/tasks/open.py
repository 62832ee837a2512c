"""Which task stands around an artifact's engine: the module here that is called as the task is."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from model_service.engines.base import Engine
from model_service.tasks.base import Task
from storage.manifest import Manifest
from wire.tasks.table import task_named


def open_task(manifest: Manifest, folder: Path, engine: Engine) -> Task:
    """The task for the artifact in `folder`. Raises EngineError where its files or its graph do not fit the task."""
    task: Task = module_of(task_named(manifest.task).name).open_task(manifest, folder, engine)
    return task


def module_of(task: str) -> ModuleType:
    """The module of that task, which has an `open_task` of its own. Others are not loaded, nor what they import."""
    return import_module(f"model_service.tasks.{task.replace('-', '_')}")
