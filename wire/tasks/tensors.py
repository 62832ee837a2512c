"""Raw tensors: what the client sends is what the graph gets."""

from typing import Final

from wire.tasks.contract import Contract


class Tensors(Contract):
    name = "tensors"
    about = "the graph's own tensors in and out"


CONTRACT: Final = Tensors()
