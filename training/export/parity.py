"""How far a graph's answers are from those of the model it was made from."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training.tasks.base import Arrays, Run


@dataclass
class Difference:
    """The largest and the mean difference of two models' outputs, over all that was compared.

    As in a worker's golden check a difference counts in parts of the other's value where that is above one: of 300,000,
    the next number that fp32 has is 0.03 away.
    """

    largest: float = 0.0
    total: float = 0.0
    count: int = 0
    finite: bool = field(default=True)

    def add(self, one: Arrays, other: Arrays, inputs: Arrays) -> Self:
        """Compare a batch. What stands at padding is nobody's answer, and is left out."""
        for name, left in one.items():
            expected = _real(other[name], inputs)
            off = np.abs(_real(left, inputs) - expected) / np.maximum(1.0, np.abs(expected))
            if off.size:
                self.finite = self.finite and bool(np.isfinite(off).all())
                self.largest = max(self.largest, float(off.max()))
                self.total, self.count = self.total + float(off.sum()), self.count + off.size
        return self

    @property
    def mean(self) -> float:
        return self.total / max(1, self.count)


def compare(run: Run, others: dict[str, Run], differences: dict[str, Difference]) -> Run:
    """A run like `run` that also adds up how its answers differ from those of `others` to the same batches."""

    def both(inputs: Arrays) -> Arrays:
        answers = run(inputs)
        for name, other in others.items():
            expected = other(inputs)
            common = {output: answers[output] for output in answers.keys() & expected.keys()}
            differences.setdefault(name, Difference()).add(common, expected, inputs)
        return answers

    return both


def record(run: Run, batches: list[Arrays]) -> Run:
    """A run like `run` that also appends what it is asked to `batches`."""

    def kept(inputs: Arrays) -> Arrays:
        batches.append(dict(inputs))
        return run(inputs)

    return kept


def _real(output: NDArray[Any], inputs: Arrays) -> NDArray[np.float64]:
    mask = inputs.get("attention_mask")
    values = output.astype(np.float64)
    decodes = any(name.startswith("decoder_") for name in inputs)  # its outputs are for other tokens than the mask's
    if mask is not None and not decodes and mask.ndim == 2 and output.ndim > 2 and output.shape[:2] == mask.shape:
        return np.asarray(values[mask.astype(bool)])
    return values
