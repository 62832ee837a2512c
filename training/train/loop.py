"""The steps of a training whose weights are shared out over processes, as one of them takes them.

A step sees the rows that transformers' Trainer, alone, would see in it, and its loss and gradients are those of all of
them together.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from time import monotonic
from typing import Any

import torch
import transformers

from training.tasks.base import Model, Task
from training.tasks.counted import counts_of
from training.train import mesh
from training.train.monitor.alerts import Step
from training.train.shares import Share, epoch_order


class Loop:
    """What a process has of the model, of the rows and of the optimizer's state, and where it is in the schedule."""

    def __init__(
        self, task: Task, model: Model, share: Share, options: transformers.TrainingArguments, rows: Any
    ) -> None:
        self.network: Any = model.network
        self._share, self._options, self._rows = share, options, rows
        self._collate, self._count = task.collator(model), counts_of(model.network)
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
                loss = float(self._loss(batch))
                lost += loss * weight if weight else 0.0  # of nothing the mean is no number
                counts += weight
                heard()
        self.network.train()
        lost, counts = self._share.total(lost, counts)
        return lost / max(counts, 1)

    def _load(self, picked: Sequence[int], rows: Any = None) -> tuple[dict[str, Any], int]:
        """The batch, and over how many labels its loss is the mean.

        A share without rows takes part with a row that counts nothing, as the others wait for it.
        """
        rows = self._rows if rows is None else rows
        batch = dict(self._collate([rows[index] for index in picked or [0]]))
        batch = {name: tensor.to(self.network.device) for name, tensor in batch.items()}
        return batch, self._count(batch) if picked else 0

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
