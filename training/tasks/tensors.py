"""How a model is served that has no task of its own in the workers: its graph's tensors, as they are."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from training.tasks.base import Model, Run, Task

if TYPE_CHECKING:
    from datasets import Dataset

_NONE: Final[Mapping[str, list[int]]] = MappingProxyType({})
_DATATYPES: Final = {"int64": "INT64", "float32": "FP32"}


def serving_fields(
    outputs: Mapping[str, list[int]],
    *,
    floats: Mapping[str, list[int]] = _NONE,
    integers: Mapping[str, list[int]] = _NONE,
) -> dict[str, Any]:
    """The manifest's fields for FP32 outputs and FP32 and INT64 inputs of these shapes; -1 where any size goes."""
    kinds = (("FP32", floats), ("INT64", integers))
    return {
        "task": "tensors",
        "inputs": [
            {"name": name, "datatype": datatype, "shape": shape}
            for datatype, inputs in kinds
            for name, shape in inputs.items()
        ],
        "outputs": [{"name": name, "datatype": "FP32", "shape": shape} for name, shape in outputs.items()],
    }


def token_serving_fields(model: Model, outputs: Mapping[str, list[int]]) -> dict[str, Any]:
    """The manifest's fields for a graph that takes tokens."""
    return serving_fields(outputs, integers={name: [-1, -1] for name in model.processor.model_input_names})


def golden(task: Task, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
    """For each row the graph's inputs and outputs, each a list of tensors."""
    cases = []
    for index in range(len(rows)):
        example = task.example(model, rows.select([index]))
        inputs = {name: tensor.numpy() for name, tensor in example.items()}
        cases.append((_tensors(inputs), _tensors(run(inputs))))
    return cases


def _tensors(arrays: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "datatype": _DATATYPES[array.dtype.name],
            "shape": list(array.shape),
            "data": np.ravel(array).tolist(),
        }
        for name, array in arrays.items()
    ]
