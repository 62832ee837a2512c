"""transformers' Trainer, whose validation loss is the same over however many processes the rows are shared out."""

from typing import Any

import torch
from torch import distributed
from torch.utils.data import DataLoader
from transformers import Trainer

from training.tasks.counted import counts_of


class ExactTrainer(Trainer):
    """The validation loss is the mean over all labels there are, each of which is seen once.

    The Trainer itself fills the last batches up with rows from the beginning, for all processes to have as many of
    them, and weighs a batch by its rows, however long they are.
    """

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        filled = self.accelerator.even_batches
        self.accelerator.even_batches = False
        try:
            loader: DataLoader[Any] = super().get_eval_dataloader(eval_dataset)
            return loader
        finally:
            self.accelerator.even_batches = filled

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **options: Any) -> Any:
        self._count, self._lost, self._counted = counts_of(self.accelerator.unwrap_model(self.model)), 0.0, 0
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **options)
        totals = torch.tensor([self._lost, self._counted], dtype=torch.float64, device=self.args.device)
        if distributed.is_initialized():
            distributed.all_reduce(totals)
        lost, counted = totals.tolist()
        output.metrics[f"{metric_key_prefix}_loss"] = lost / max(counted, 1)
        return output

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[None, None, None]:
        """Keep the batch's loss here. To return it would have the processes wait for each other, batch by batch."""
        inputs = self._prepare_inputs(inputs)
        count = self._count(inputs)  # before label smoothing takes the labels out
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = float(self.compute_loss(model, inputs))
        self._lost += loss * count if count else 0.0  # of nothing the mean is no number
        self._counted += count
        return None, None, None
