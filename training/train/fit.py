"""Trains with transformers' Trainer: in one process, or in each of those that torchrun started for DDP."""

import json
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import datasets
import transformers

from training.stage import Work
from training.tasks.base import Model, Task
from training.tasks.open import open_task
from training.train.adapter import adapt
from training.train.adapter import save as save_adapted
from training.train.arguments import arguments, precision, trainer_for
from training.train.monitor.callback import EndCallback, MonitorCallback
from training.train.monitor.log import LOG, read
from training.train.monitor.monitor import Monitor
from training.train.settings import MonitorSettings

RESULT: Final = "trained.json"  # written last: what else there is in the folder is complete
CHECKPOINTS: Final = "checkpoints"
_LAST: Final = 0.1  # of the steps, whose mean loss is the training loss


class TrainingFailed(Exception):
    """Training ended without a model."""


def fit(work: Work, settings: MonitorSettings, task: Task | None = None) -> None:
    """Train, from the last checkpoint if there is one, and write the model and `trained.json` into the folder.

    The task is the recipe's, unless another one is given.
    """
    recipe, folder = work.recipe, work.folder
    task = task or open_task(recipe.task)
    options = arguments(recipe, task, folder / CHECKPOINTS)
    datasets.disable_caching()  # it would write into the folder of the rows, which is another stage's
    rows = datasets.load_from_disk(str(work.rows))
    transformers.set_seed(recipe.seed)
    model = task.start(recipe, task.labels(rows, recipe))
    if recipe.peft is not None:
        model = adapt(model, recipe, task)
    train, held_out = task.features(rows["train"], model), task.held_out_features(rows["validation"], model)
    trainer = trainer_for(task, model, options, train, held_out, task.collator(model))
    end = EndCallback(scaled=options.fp16)
    trainer.add_callback(end)
    first = trainer.is_world_process_zero()
    monitor = Monitor(settings, recipe.name, folder, work.say, scaled=options.fp16) if first else None
    if monitor is not None:
        trainer.add_callback(MonitorCallback(monitor, len(rows["train"]), describe(work, options, model)))
    try:
        trainer.train(resume_from_checkpoint=last_checkpoint(folder / CHECKPOINTS))
        if end.failed is not None:
            raise TrainingFailed(end.failed)
        validation = trainer.evaluate()["eval_loss"]
    finally:
        if monitor is not None:
            monitor.end()
    if first:
        keep(work, task, model, validation)


def describe(work: Work, options: transformers.TrainingArguments, model: Model, shares: int = 0) -> dict[str, Any]:
    """What the log says at its beginning: what the run is done with, as the libraries took it.

    The rows of a batch are shared out over `shares` processes; over all of them, without.
    """
    network: Any = model.network
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    peft = network.peft_config["default"].to_dict() if work.recipe.peft else None
    return {
        "model": work.recipe.model.base or work.recipe.model.config,
        "parameters": sum(count for count, _ in counts),
        "trainable_parameters": sum(count for count, trained in counts if trained),
        "precision": precision(options),
        "max_grad_norm": options.max_grad_norm,
        "warmup_steps": options.warmup_steps,
        "optimizer": str(options.optim),
        "batch": options.train_batch_size * options.gradient_accumulation_steps * (shares or options.world_size),
        "processes": options.world_size,
        "seed": options.seed,
        "peft": json.loads(json.dumps(peft, default=_as_json)),
    }


def keep(work: Work, task: Task, model: Model, validation: float) -> None:
    """Write the model and, last of all, the result."""
    folder = work.folder
    if work.recipe.peft is not None:
        save_adapted(model, task, folder)
    else:
        task.save(model, folder / "model")
    write_result(folder, validation)


def write_result(folder: Path, validation: float) -> None:
    """Write what the stage returns, from the log; the checkpoints have then served."""
    begin = next(read(folder / LOG, "begin"))
    steps = list(read(folder / LOG, "step"))
    last = steps[-max(1, round(len(steps) * _LAST)) :]
    result = {
        "steps": steps[-1]["step"],
        "train_loss": fmean(step["loss"] for step in last),
        "validation_loss": validation,
        "seconds": sum(step["seconds"] for step in steps),
        "parameters": begin["parameters"],
        "trainable_parameters": begin["trainable_parameters"],
        "alerts": [event["text"] for event in read(folder / LOG, "alert")],
        **{name: begin[name] for name in ("precision", "max_grad_norm", "warmup_steps", "batch", "processes")},
    }
    partial = folder / f"{RESULT}.partial"
    partial.write_text(json.dumps(result))
    partial.replace(folder / RESULT)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def last_checkpoint(folder: Path) -> str | None:
    """The last complete checkpoint. What was being written when a run was killed is removed."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
        try:
            json.loads((path / "trainer_state.json").read_text())  # which the Trainer writes last
        except (OSError, json.JSONDecodeError):
            shutil.rmtree(path)
            continue
        return str(path)
    return None


def _as_json(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else str(value)
