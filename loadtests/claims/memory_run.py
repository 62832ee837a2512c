"""A few steps of training in a process of its own, whose memory is counted: `python -m loadtests.claims.memory_run`."""

import ctypes
import json
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import datasets
import torch
import transformers
from transformers import TrainerCallback

from loadtests.claims.memory import Case, recipe_of
from training import pipeline
from training.stage import ROWS
from training.tasks.open import open_task
from training.train.adapter import adapt
from training.train.arguments import arguments, trainer_for

_STATUS: Final = Path("/proc/self/status")


class Ledger(TrainerCallback):
    """Bytes of the weights, of the gradients and of the optimizer's state, and of the process while it trains."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.found["weights"] = _bytes(model.parameters())
        settle()
        self.found["before"] = resident("VmRSS")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.found["gradients"] = _bytes(one.grad for one in model.parameters() if one.grad is not None)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        kept = (value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value))
        self.found["optimizer"] = _bytes(kept)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.found["peak"] = resident("VmHWM")


def settle() -> None:
    """Give back what loading has left over, and let the peak begin here."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def resident(kind: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at most since `settle`."""
    found = re.search(rf"^{kind}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    assert found is not None, f"{_STATUS} has no {kind}: this is for Linux"
    return int(found[1]) * 1024


def run(case: Case, work: Path) -> dict[str, int]:
    """Train the case's steps on its rows, as the train stage does, and keep nothing."""
    recipe = recipe_of(case)
    task = open_task(recipe.task)
    datasets.disable_caching()
    folder = pipeline.run(recipe, work, lambda line: None, "data").folders["data"]
    rows = datasets.load_from_disk(str(folder / ROWS))
    ledger = Ledger()
    settle()
    ledger.found["libraries"] = resident("VmRSS")
    transformers.set_seed(recipe.seed)
    model = task.start(recipe, task.labels(rows, recipe))
    if recipe.peft is not None:
        model = adapt(model, recipe, task)
    with tempfile.TemporaryDirectory() as scratch:
        options = arguments(recipe, task, Path(scratch))
        features = task.features(rows["train"], model)
        trainer = trainer_for(task, model, options, features, None, task.collator(model))
        trainer.add_callback(ledger)
        trainer.train()
    return ledger.found


def _bytes(tensors: Iterable[Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


if __name__ == "__main__":
    print(json.dumps(run(Case(**json.loads(sys.argv[1])), Path(sys.argv[2]))))
