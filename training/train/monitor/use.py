"""What a training process takes of its machine. Reading it is `machine`'s business, which needs torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """`cpu` in cores, memory in bytes; `gpu` from 0 to 1, and None without a GPU."""

    cpu: float
    memory: int
    gpu_memory: int | None = None
    gpu: float | None = None
