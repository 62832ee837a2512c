"""What a training process takes of its machine. Reading it is `machine`'s business, which needs torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """`cpu` in cores, memory in bytes; `gpu` from 0 to 1. None without a GPU, `gpu` also where it does not tell."""

    cpu: float
    memory: int
    gpu_memory: int | None = None
    gpu: float | None = None
