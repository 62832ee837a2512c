"""Raw tensors: what the client sends is what the graph gets. The task `tensors`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model_service.engines.base import Array, Arrays, Engine, EngineError
from model_service.tasks.arrays import to_array, to_tensor
from model_service.tasks.base import Answer, Item, Task
from storage.manifest import Manifest, TensorSpec
from wire.errors import EngineFailed, InvalidInput
from wire.messages import InferRequest


class TensorsTask:
    """Rows of requests with rows of the same shape run together, unless the manifest's `max_rows` is 1.

    With `max_rows` 1 rows may depend on each other, or there are none: a request is one item, and runs as it came. So
    does one without elements, whose answer is whatever the graph makes of it.

    Raises EngineError where the manifest promises what the graph does not have.
    """

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self._inputs = {spec.name: spec for spec in manifest.inputs}
        self._outputs = manifest.outputs
        self._max_rows = manifest.batching.max_rows
        self._most_of_nothing = manifest.batching.max_queue_rows
        _check_agreement("input", manifest.inputs, engine.inputs)
        _check_agreement("output", manifest.outputs, engine.outputs)
        if missing := [spec.name for spec in engine.inputs if spec.name not in self._inputs]:
            raise EngineError(f"the graph needs inputs that the manifest does not name: {', '.join(missing)}")
        if self._max_rows > 1:
            _check_rows((*manifest.inputs, *(spec for spec in engine.inputs if spec.shape)))

    def rows(self, request: InferRequest) -> int:
        return request.inputs[0].rows if request.inputs and self._max_rows > 1 else 1

    def prepare(self, request: InferRequest) -> list[Item]:
        tensors = {tensor.name: tensor for tensor in request.inputs}
        if tensors.keys() != self._inputs.keys() or len(request.inputs) != len(tensors):
            raise InvalidInput(
                f"the model takes {', '.join(map(_describe, self._inputs.values()))};"
                f" {', '.join(repr(tensor.name) for tensor in request.inputs) or 'nothing'} came"
            )
        arrays = {name: to_array(tensors[name], spec) for name, spec in self._inputs.items()}
        for name, array in arrays.items():
            if array.dtype == np.object_:
                _check_text(name, array.ravel().tolist())
        for name, array in arrays.items():
            # An array of no elements can claim any size at no cost to its sender.
            if array.size == 0 and self._largest_open(name, array) > self._most_of_nothing:
                raise InvalidInput(
                    f"input '{name}' of shape {list(array.shape)} has no elements: none of its sizes that the model"
                    f" leaves open may be over {self._most_of_nothing}"
                )
        if self._max_rows == 1:
            return [Item(arrays)]
        return self._items(arrays)

    def _largest_open(self, name: str, array: Array) -> int:
        """The largest of the sizes that the client has chosen."""
        shape = self._inputs[name].shape
        return max([size for size, own in zip(array.shape, shape, strict=True) if own == -1], default=0)

    def collate(self, items: Sequence[Item]) -> Arrays:
        if len(items) == 1:
            return items[0].features
        return {name: np.concatenate([item.features[name] for item in items]) for name in self._inputs}

    def scatter(self, items: Sequence[Item], outputs: Arrays) -> list[Arrays]:
        if self._max_rows == 1:
            return [outputs]
        total = sum(item.rows for item in items)
        for spec in self._outputs:
            shape = outputs[spec.name].shape
            if not shape or shape[0] != total:
                raise EngineError(
                    f"output '{spec.name}' has shape {list(shape)} for a batch of {total} rows: where the graph has no"
                    " dimension of rows, the manifest must say batching.max_rows 1"
                )
        results, at = [], 0
        for item in items:
            results.append({spec.name: outputs[spec.name][at : at + item.rows] for spec in self._outputs})
            at += item.rows
        return results

    def respond(self, request: InferRequest, items: Sequence[Item], results: Sequence[Arrays]) -> Answer:
        if len(results) == 1:
            return Answer([to_tensor(spec, results[0][spec.name]) for spec in self._outputs])
        try:
            joined = [np.concatenate([result[spec.name] for result in results]) for spec in self._outputs]
        except ValueError as error:
            raise EngineFailed(
                f"the parts of {sum(item.rows for item in items)} rows came out in different shapes ({error}):"
                f" send at most {self._max_rows} rows at a time"
            ) from error
        return Answer([to_tensor(spec, array) for spec, array in zip(self._outputs, joined, strict=True)])

    def _items(self, arrays: Arrays) -> list[Item]:
        counts = {name: array.shape[0] for name, array in arrays.items()}
        rows = next(iter(counts.values()))
        if len(set(counts.values())) > 1:
            told = ", ".join(f"'{name}' has {count}" for name, count in counts.items())
            raise InvalidInput(f"all inputs must have the same number of rows: {told}")
        if any(array.size == 0 for array in arrays.values()):
            return [Item(arrays, rows, group=object())]  # of nobody's company
        group = tuple(array.shape[1:] for array in arrays.values())
        step = self._max_rows
        if rows <= step:
            return [Item(arrays, rows, group=group)]
        return [
            Item({name: array[at : at + step] for name, array in arrays.items()}, min(step, rows - at), group=group)
            for at in range(0, rows, step)
        ]


def _check_text(name: str, elements: list[bytes]) -> None:
    for index, element in enumerate(elements):
        try:
            element.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"input '{name}', element {index}: not UTF-8, which a graph's strings are") from error


def _describe(spec: TensorSpec) -> str:
    return f"'{spec.name}' ({spec.datatype} {list(spec.shape)})"


def _check_agreement(kind: str, promised: Sequence[TensorSpec], present: Sequence[TensorSpec]) -> None:
    datatypes = {spec.name: spec.datatype for spec in present}
    for spec in promised:
        if datatypes.get(spec.name) != spec.datatype:
            raise EngineError(
                f"the manifest's {kind} {_describe(spec)} is not in the graph, whose {kind}s are"
                f" {', '.join(map(_describe, present))}"
            )


def _check_rows(specs: Sequence[TensorSpec]) -> None:
    for spec in specs:
        if not spec.shape or spec.shape[0] != -1:
            raise EngineError(
                f"input {_describe(spec)} has no first dimension of any size, so requests cannot share a batch:"
                " the manifest must say batching.max_rows 1"
            )


def open_task(manifest: Manifest, folder: Path, engine: Engine) -> Task:
    """Raises EngineError where the artifact in `folder` does not fit the task."""
    return TensorsTask(manifest, engine)
