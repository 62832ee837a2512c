"""A short training, timed."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import datasets
import torch
import transformers
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback

from training.recipe.recipe import Recipe
from training.stage import Work
from training.tasks.base import Task
from training.train.adapter import adapt
from training.train.arguments import arguments, trainer_for

THREADS: Final = "threads"  # a change that is none of TrainingArguments
_ALONE: Final[dict[str, Any]] = {
    "max_steps": -1,
    "num_train_epochs": 2,
    "eval_strategy": "no",
    "eval_on_start": False,
    "save_strategy": "no",
    "load_best_model_at_end": False,
    "logging_strategy": "no",
}


@dataclass(frozen=True)
class Trial:
    """The timed pass: rows a second, the part of its time spent waiting, and that of its tokens which is padding."""

    rows_per_second: float
    waiting: float
    padding: float
    profiled: Any = None  # torch's profiler, where one was asked for


def trial(work: Work, task: Task, changes: Mapping[str, Any], *, profiled: bool = False) -> Trial:
    """Train on the same rows as every other trial, with `changes` to the recipe's `train` block."""
    assert work.recipe.profile is not None
    train = {**work.recipe.train, **{name: value for name, value in changes.items() if name != THREADS}, **_ALONE}
    recipe = work.recipe.model_copy(update={"train": train})
    datasets.disable_caching()
    rows = datasets.load_from_disk(str(work.rows))
    transformers.set_seed(recipe.seed)
    model = task.start(recipe, task.labels(rows, recipe))
    if recipe.peft is not None:
        model = adapt(model, recipe, task)
    with tempfile.TemporaryDirectory() as folder, _threads(changes.get(THREADS)):
        options = arguments(recipe, task, Path(folder))
        some = rows["train"].shuffle(recipe.seed).select(range(min(_count(work.recipe), len(rows["train"]))))
        collator = task.collator(model)
        counting = collator and _Counting(collator)
        trainer = trainer_for(task, model, options, task.features(some, model), None, counting)
        clock = _Clock(profiled)
        trainer.add_callback(clock)
        trainer.train()
    seconds = clock.waited + clock.computed
    return Trial(len(some) / seconds, clock.waited / seconds, counting.padding if counting else 0.0, clock.profiler)


def _count(recipe: Recipe) -> int:
    """The rows of the recipe's own batches: a change of their size must not change the rows."""
    assert recipe.profile is not None
    batch = int(recipe.train.get("per_device_train_batch_size", 8))
    return recipe.profile.steps * batch * int(recipe.train.get("gradient_accumulation_steps", 1))


class _Clock(TrainerCallback):
    """Times the second pass: the first one has paid for what is done once."""

    def __init__(self, profiled: bool) -> None:
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
        self.profiler = profile(activities=activities) if profiled else None
        self.waited = self.computed = 0.0
        self._since = 0.0

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.waited = self.computed = 0.0
        if state.epoch and self.profiler is not None:
            self.profiler.start()
        self._since = monotonic()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = monotonic()
        self.waited += now - self._since
        self._since = now

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = monotonic()
        self.computed += now - self._since
        self._since = now

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.profiler is not None:
            self.profiler.stop()


class _Counting:
    """A collator that counts how much of its batches is padding; in vain in a worker process of the loader."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._tokens = self._padded = 0

    def __call__(self, features: Any) -> Any:
        batch = self._inner(features)
        if "attention_mask" in batch:
            mask = batch["attention_mask"]
            self._tokens += mask.numel()
            self._padded += int((mask == 0).sum())
        return batch

    @property
    def padding(self) -> float:
        return self._padded / max(self._tokens, 1)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    yield
    torch.set_num_threads(before)
