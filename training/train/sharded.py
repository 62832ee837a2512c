"""Trains a model whose weights are shared out over processes: fsdp, tensor parallel, and both at once.

transformers' Trainer does this on GPUs only, so the loop is ours. A step sees the rows that the Trainer, alone, would
see in it, and its loss and gradients are those of all of them together.
"""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import monotonic
from typing import Any, Final

import datasets
import torch
import transformers
from torch import distributed

from training.stage import Work
from training.tasks.base import Model, Task
from training.tasks.open import open_task
from training.train import mesh
from training.train.arguments import arguments
from training.train.block import Distributed
from training.train.fit import CHECKPOINTS, TrainingFailed, described, write_result
from training.train.monitor.alerts import Step, not_a_number
from training.train.monitor.monitor import Monitor
from training.train.settings import MonitorSettings
from training.train.shard_checkpoint import resume, write
from training.train.shares import Share, counted, epoch_order

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
    held_out = task.features(rows["validation"], model)
    step = resume(loop, folder / CHECKPOINTS)
    first = distributed.get_rank() == 0
    monitor = Monitor(settings, recipe.name, folder, work.say) if first else None
    heard = monitor.alive if monitor is not None else lambda: None
    loss: float | None = None
    if monitor is not None:
        monitor.begin(step, loop.steps, {**described(work, options, model, share.of), "strategy": block.strategy})
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
                    monitor.validated(step, loss)
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


class Loop:
    """The steps of one process."""

    def __init__(
        self, task: Task, model: Model, share: Share, options: transformers.TrainingArguments, rows: Any
    ) -> None:
        self.network: Any = model.network
        self._share, self._options, self._rows = share, options, rows
        self._collate = task.collator(model)
        self._batch = options.per_device_train_batch_size
        self._epoch_steps = math.ceil(len(rows) / (self._batch * share.of))
        self.steps = (
            options.max_steps if options.max_steps > 0 else math.ceil(options.num_train_epochs * self._epoch_steps)
        )
        self.every = int(options.eval_steps if options.eval_steps >= 1 else math.ceil(self.steps * options.eval_steps))
        # Weights of different meshes go into no common kernel.
        self.optimizer = torch.optim.AdamW(
            _groups(self.network, options.weight_decay),
            lr=options.learning_rate,
            betas=(options.adam_beta1, options.adam_beta2),
            eps=options.adam_epsilon,
            foreach=False,
        )
        self._schedule = transformers.get_scheduler(
            options.lr_scheduler_type,
            self.optimizer,
            num_warmup_steps=options.get_warmup_steps(self.steps),
            num_training_steps=self.steps,
        )

    def forward_to(self, step: int) -> None:
        """Set the learning rate to what it is after so many steps."""
        for _ in range(step):
            self.optimizer._opt_called = True
            self._schedule.step()

    def step(self, step: int) -> Step:
        """Take the step after `step` steps; what it came to."""
        since = monotonic()
        epoch, index = divmod(step, self._epoch_steps)
        order = epoch_order(len(self._rows), self._options.data_seed, epoch)
        size = self._batch * self._share.of
        whole = order[index * size : (index + 1) * size]
        (picked,) = self._share.batches(whole, self._batch)
        batch, weight = self._load(picked)
        waited, since = monotonic() - since, monotonic()
        # Processes that hold parts of the same rows must drop the same of them; and a resumed run what it would have.
        torch.manual_seed((self._options.seed << 32) + step * self._share.of + self._share.place)
        loss = self._loss(batch)
        (total,) = self._share.total(weight)
        (loss * (weight * self._share.of / total)).backward()
        norm = mesh.clip(self.network, self._options.max_grad_norm)
        rate = self._schedule.get_last_lr()[0]
        self.optimizer.step()
        self._schedule.step()
        self.optimizer.zero_grad()
        (mean,) = self._share.total(loss.detach() * weight / total)
        now = (step + 1) / self._epoch_steps
        return Step(step + 1, now, mean, rate, norm, len(whole), waited, monotonic() - since)

    def validate(self, rows: Any, heard: Callable[[], None]) -> float:
        """The mean loss on the rows. `heard` is called for each batch."""
        self.network.eval()
        lost = counts = 0.0
        with torch.no_grad():
            for picked in self._share.batches(range(len(rows)), self._options.per_device_eval_batch_size):
                batch, weight = self._load(picked, rows)
                lost += float(self._loss(batch)) * weight
                counts += weight
                heard()
        self.network.train()
        lost, counts = self._share.total(lost, counts)
        return lost / counts

    def _load(self, picked: Sequence[int], rows: Any = None) -> tuple[dict[str, Any], int]:
        """The batch, and over how many labels its loss is the mean.

        A share without rows takes part with a row that counts nothing, as the others wait for it.
        """
        rows = self._rows if rows is None else rows
        batch = dict(self._collate([rows[index] for index in picked or [0]]))
        batch = {name: tensor.to(self.network.device) for name, tensor in batch.items()}
        return batch, counted(batch) if picked else 0

    def _loss(self, batch: dict[str, Any]) -> Any:
        low = torch.autocast(self.network.device.type, torch.bfloat16) if self._options.bf16 else nullcontext()
        with low:
            return self.network(**batch).loss


def _groups(network: Any, decay: float) -> list[dict[str, Any]]:
    """Biases and the weights of norms, which are vectors, are not made smaller."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _start(work: Work, task: Task, rows: Any) -> None:
    """Have the first process write the model before the first step, unless a killed run has done it."""
    folder: Path = work.folder / START
    if distributed.get_rank() == 0 and not folder.is_dir():
        transformers.set_seed(work.recipe.seed)
        partial = folder.with_suffix(".partial")
        task.save(task.start(work.recipe, task.labels(rows, work.recipe)), partial)
        partial.replace(folder)
    distributed.barrier()
