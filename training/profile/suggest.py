"""What may make training faster, from what takes its time."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from training.profile.bottleneck import Bottleneck
from training.profile.trial import THREADS

if TYPE_CHECKING:
    from transformers import TrainingArguments

_WAITING: Final = 0.1
_PADDING: Final = 0.1
_OPTIMIZER: Final = 0.15
_PRODUCTS: Final = 0.3


@dataclass(frozen=True)
class Suggestion:
    """Keys of the recipe's `train` block, or `threads`, the environment's OMP_NUM_THREADS; and why they might help.

    `same` where it computes the same as before: the others are to be checked against the validation loss.
    """

    change: dict[str, Any]
    why: str
    same: bool


def suggestions(found: Bottleneck, options: "TrainingArguments", threads: int) -> Iterator[Suggestion]:
    """What is worth a trial, for a training that is done with `options` on so many threads."""
    cores = len(os.sched_getaffinity(0))
    if found.waiting > _WAITING and options.dataloader_num_workers == 0 and cores > 1:
        yield Suggestion(
            {"dataloader_num_workers": min(cores - 1, 4), "dataloader_persistent_workers": True},
            f"{found.waiting:.0%} of the time goes into waiting for data, which one process prepares between the steps",
            same=True,
        )
    if found.padding > _PADDING and options.train_sampling_strategy == "random":
        yield Suggestion(
            {"train_sampling_strategy": "group_by_length"},
            f"{found.padding:.0%} of the tokens is padding: rows of like length pad each other less",
            same=False,
        )
    if found.optimizer > _OPTIMIZER:
        yield Suggestion(
            {"per_device_train_batch_size": 2 * options.per_device_train_batch_size},
            f"{found.optimizer:.0%} of the time goes into the optimizer, which is run once for a batch of any size",
            same=False,
        )
    if found.products > _PRODUCTS and not (options.bf16 or options.fp16):
        yield Suggestion(
            {"bf16": True},
            f"{found.products:.0%} of the time goes into matrix products, which some processors do faster in bf16",
            same=False,
        )
    if options.use_cpu and threads != cores:
        yield Suggestion({THREADS: cores}, f"torch uses {threads} of {cores} cores", same=True)
