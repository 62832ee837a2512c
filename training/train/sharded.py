"""Trains a model whose weights are shared out over processes: fsdp, tensor parallel, and both at once.

transformers' own Trainer can't: accelerate, which shares weights out for it, does so on GPUs and their like alone, and
on CPUs leaves all of them in each process, without a word (AcceleratorState, in 1.15). So the loop, for both, is ours.
"""

import os
from pathlib import Path
from typing import Any, Final

import datasets
import torch
import transformers
from torch import distributed

from training.recipe.train import Distributed
from training.stage import Work
from training.tasks.base import Model, Task
from training.tasks.open import open_task
from training.train import mesh
from training.train.arguments import arguments
from training.train.fit import CHECKPOINTS, TrainingFailed, describe, write_result
from training.train.loop import Loop
from training.train.monitor.alerts import not_a_number
from training.train.monitor.monitor import Monitor
from training.train.settings import MonitorSettings
from training.train.shard_checkpoint import resume, write
from training.train.shares import Share

START: Final = "start"  # the model before the first step, of which every process reads its part


def fit_sharded(work: Work, block: Distributed, settings: MonitorSettings) -> None:
    """Train, from the last checkpoint if there is one, and write the model and `trained.json` into the folder."""
    recipe, folder = work.recipe, work.folder
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(block.backend or ("nccl" if cuda else "gloo"))
    task = open_task(recipe.task)
    options = arguments(recipe, task, folder / CHECKPOINTS)
    datasets.disable_caching()
    rows = datasets.load_from_disk(str(work.rows))
    _start(work, task, rows)
    model = Model(mesh.share_out(task, folder / START, block), task.load_processor(folder / START))
    share = Share(distributed.get_rank() // block.tensor, block.world // block.tensor, block.tensor)
    loop = Loop(task, model, share, options, task.features(rows["train"], model))
    held_out = task.held_out_features(rows["validation"], model)
    step = resume(loop, folder / CHECKPOINTS)
    first = distributed.get_rank() == 0
    monitor = Monitor(settings, recipe.name, folder, work.say) if first else None
    heard = monitor.alive if monitor is not None else lambda: None
    loss: float | None = None
    if monitor is not None:
        monitor.begin(step, loop.steps, {**describe(work, options, model, share.of), "strategy": block.strategy})
    try:
        while step < loop.steps:
            done = loop.step(step)
            step += 1
            if monitor is not None:
                monitor.step(done)
            failed = not_a_number(step, done.loss, done.gradient_norm)  # the same in every process
            if failed is not None:
                raise TrainingFailed(failed.text)
            if step % loop.every == 0 or step == loop.steps:
                loss = loop.validate(held_out, heard)
                if monitor is not None:
                    monitor.record_validation(step, loss)
                write(loop, folder / CHECKPOINTS, step)
    finally:
        if monitor is not None:
            monitor.end()
    if loss is None:  # a run that was killed after its last step
        loss = loop.validate(held_out, heard)
    mesh.save(model, folder / "model")
    if first:
        write_result(folder, loss)
    distributed.barrier()


def _start(work: Work, task: Task, rows: Any) -> None:
    """Have the first process write the model before the first step, unless a killed run has done it."""
    folder: Path = work.folder / START
    if distributed.get_rank() == 0 and not folder.is_dir():
        transformers.set_seed(work.recipe.seed)
        partial = folder.with_suffix(".partial")
        task.save(task.start(work.recipe, task.labels(rows, work.recipe)), partial)
        partial.replace(folder)
    distributed.barrier()
