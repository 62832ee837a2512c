"""Which rows a process sees in a step, where a batch is shared out over several."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Share:
    """The `place`th of `of` shares of each batch. Processes with the same place see the same rows."""

    place: int
    of: int
    copies: int  # processes with the same place

    def batches(self, order: Sequence[int], rows: int) -> Iterator[list[int]]:
        """This share of each batch of `rows` rows a share: none where the last batch has not enough for all."""
        size = rows * self.of
        for at in range(0, len(order), size):
            batch = order[at : at + size]
            yield list(batch[self.place * rows : (self.place + 1) * rows])

    def total(self, *values: Tensor | float) -> list[float]:
        """The sums of the values over the shares."""
        summed = torch.tensor([float(value) for value in values], dtype=torch.float64)
        if distributed.get_backend() == "nccl":
            summed = summed.cuda().float()
        distributed.all_reduce(summed)
        return [float(value) / self.copies for value in summed]


def epoch_order(rows: int, seed: int, epoch: int) -> list[int]:
    """The order in which the Trainer takes the rows in that epoch."""
    order: list[int] = torch.randperm(rows, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    return order
