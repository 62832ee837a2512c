"""ONNX Runtime's own operators in place of the patterns that transformers are made of."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxruntime.transformers import optimizer
from onnxruntime.transformers.optimizer import MODEL_TYPES

from training.export.parity import Difference, compare
from training.export.session import session
from training.tasks.base import Model, Task

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Fused:
    """The graph to go on with, and how many of which operators were put in; where none were, why not."""

    path: Path
    operators: dict[str, int] = field(default_factory=dict)
    why_not: str = ""


def fuse(plain: Path, target: Path, task: Task, model: Model, rows: "Dataset", tolerance: float) -> Fused:
    """The fused graph, written to `target`, where its outputs on `rows` stay within `tolerance`; else the plain one."""
    try:
        operators = _optimise(plain, target, model.config)
        if not operators:
            return Fused(plain, why_not="the network has no pattern that the optimiser knows")
        differences: dict[str, Difference] = {}
        task.predict(compare(session(target), {"plain": session(plain)}, differences), model, rows)
    except Exception as error:  # of networks that it knows badly the optimiser makes graphs that do not even load
        return Fused(plain, why_not=f"{type(error).__name__}: {str(error)[:300]}")
    off = differences["plain"]
    if off.largest > tolerance or not off.finite:
        return Fused(plain, why_not=f"its outputs were up to {off.largest:.3g} from those of the graph before")
    return Fused(target, operators)


def _optimise(source: Path, target: Path, config: Any) -> dict[str, int]:
    heads = getattr(config, "num_attention_heads", None)
    if not isinstance(heads, int):
        return {}
    logging.getLogger("onnxruntime.transformers").setLevel(logging.ERROR)
    fused = optimizer.optimize_model(
        str(source),
        model_type=config.model_type if config.model_type in MODEL_TYPES else "bert",
        num_heads=heads,
        hidden_size=config.hidden_size,
        opt_level=0,  # the rest is left to the processor that will run it
        use_gpu=False,
    )
    fused.save_model_to_file(str(target))
    return {name: count for name, count in fused.get_fused_operator_statistics().items() if count}
