"""The table of tasks: what a manifest's `task` may be."""

from typing import Final

from wire.tasks import sentence_embedding, tabular, tensors, text_classification, token_classification
from wire.tasks.contract import Contract

TASKS: Final[tuple[Contract, ...]] = (
    tensors.CONTRACT,
    tabular.CONTRACT,
    sentence_embedding.CONTRACT,
    text_classification.CONTRACT,
    token_classification.CONTRACT,
)
# What a model is for where nothing says more.
PLAIN: Final[Contract] = tensors.CONTRACT
_BY_NAME: Final = {task.name: task for task in TASKS}


def task_named(name: str) -> Contract:
    """The contract of that task. Raises ValueError, with those that there are, where there is none."""
    if (task := _BY_NAME.get(name)) is None:
        raise ValueError(f"there is no task {name!r:.80}; there are {', '.join(_BY_NAME)}")
    return task
