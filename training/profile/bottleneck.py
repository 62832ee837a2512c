"""What takes the time of a training step."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import torch

from training.profile.trial import Trial

_PRODUCTS: Final = (
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "matmul",
    "linear",
    "convolution",
    "scaled_dot_product",
    "attention",
)
_TOP: Final = 8


@dataclass(frozen=True)
class Bottleneck:
    """Parts of the time, from 0 to 1: waiting for data, the optimizer, matrix products, and the rest of the operators.

    `padding` is the part of the tokens that stands for no text, and so of the products' time that comes to nothing.
    """

    waiting: float
    optimizer: float
    products: float
    other: float
    padding: float
    operators: list[dict[str, Any]]  # those that took most: name, part of the time, calls

    @property
    def largest(self) -> str:
        """What to look at first."""
        parts = {
            "waiting for the data loader": self.waiting,
            "the optimizer": self.optimizer,
            "padding": self.products * self.padding,
            "matrix products": self.products * (1 - self.padding),
            "other operators": self.other,
        }
        return max(parts, key=lambda name: parts[name])

    def report(self) -> dict[str, Any]:
        """As JSON."""
        return {"largest": self.largest, **asdict(self)}


def find(plain: Trial, profiled: Trial) -> Bottleneck:
    """From a trial without the profiler, which slows small operators, and one with it."""
    events = profiled.profiled.key_averages()
    own = {event.key: _own_time(event) for event in events}
    operators = {name: time for name, time in own.items() if name.startswith("aten::")}
    # An optimizer that is one operator has its time in that operator, and not in the record around it.
    optimizer = sum(_whole_time(event) for event in events if event.key.startswith("Optimizer.step"))
    products = sum(time for name, time in operators.items() if _is_product(name))
    other = max(sum(operators.values()) - products - optimizer, 0.0)
    total = optimizer + products + other
    scale = (1 - plain.waiting) / total if total else 0.0
    top = sorted(operators.items(), key=lambda item: -item[1])[:_TOP]
    calls = {event.key: event.count for event in events}
    return Bottleneck(
        plain.waiting,
        optimizer * scale,
        products * scale,
        other * scale,
        plain.padding,
        [{"operator": name, "part": time * scale, "calls": calls[name]} for name, time in top],
    )


def _is_product(operator: str) -> bool:
    return any(part in operator for part in _PRODUCTS)


def _own_time(event: Any) -> float:
    return float(event.self_device_time_total if torch.cuda.is_available() else event.self_cpu_time_total)


def _whole_time(event: Any) -> float:
    return float(event.device_time_total if torch.cuda.is_available() else event.cpu_time_total)
