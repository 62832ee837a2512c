"""Asks the version that serves now for its answers to the same rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import httpx
import numpy as np
from numpy.typing import NDArray

from training.data.columns import TEXT, kind_of
from training.recipe.evaluate import Against
from training.tasks.base import Arrays, Model, Task
from wire.tasks.contract import Contract, NotComparable
from wire.tasks.table import task_named

if TYPE_CHECKING:
    from datasets import Dataset

BATCH: Final = 32
TIMEOUT: Final = httpx.Timeout(60, connect=5)
_DATATYPES: Final = {"bool": "BOOL", "float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64"}
_DTYPES: Final = {datatype: dtype for dtype, datatype in _DATATYPES.items()}


class ServingUnknown(Exception):
    """The version that serves now cannot be compared with."""


class Service:
    """A model's version behind a gateway; `version` is its number, once it has answered."""

    def __init__(self, client: httpx.Client, model: str, alias: str) -> None:
        self._client = client
        self._path = f"/v2/models/{model}/versions/{alias}/infer"
        self.version: str | None = None

    def run(self, inputs: Arrays) -> Arrays:
        """The graph's tensors there and back. Raises ServingUnknown."""
        tensors = [
            {
                "name": name,
                "datatype": _DATATYPES[array.dtype.name],
                "shape": array.shape,
                "data": array.ravel().tolist(),
            }
            for name, array in inputs.items()
        ]
        return {output["name"]: _array(output) for output in self._infer(tensors)}

    def rows(self, asked: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
        """The only output's row for each of the inputs, which hold one row each."""
        for at in range(0, len(asked), BATCH):
            some = asked[at : at + BATCH]
            shape = [len(some), *some[0]["shape"][1:]]
            (output,) = self._infer([{**some[0], "shape": shape, "data": [one for row in some for one in row["data"]]}])
            yield from np.asarray(output["data"]).reshape(output["shape"])

    def _infer(self, tensors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            # From the workers themselves: what is compared is not to be an old answer.
            answer = self._client.post(self._path, json={"inputs": tensors}, headers={"cache-control": "no-cache"})
        except httpx.HTTPError as error:
            raise ServingUnknown(f"{self._client.base_url} cannot be asked: {error}") from error
        if answer.status_code != 200:
            raise ServingUnknown(f"POST {self._path} was answered {answer.status_code}: {answer.text[:300]}")
        try:
            response = answer.json()
            version = response["model_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise ServingUnknown(f"what answers at {self._client.base_url} is no headrace gateway") from error
        if self.version not in (None, version):
            raise ServingUnknown("the alias was pointed at another version meanwhile: run it again")
        self.version = version
        outputs: list[dict[str, Any]] = response["outputs"]
        return outputs


def ask(block: Against, name: str, task: Task, model: Model, rows: "Dataset") -> tuple[str, list[Any]]:
    """The number of the version that serves, and its predictions for `rows`.

    The rows are sent as the task would have them sent to `model`. Raises ServingUnknown.
    """
    with httpx.Client(base_url=block.url, timeout=TIMEOUT) as client:
        service = Service(client, block.model or name, block.alias)
        try:
            predictions = _predict(service, task, model, rows)
        except NotComparable as error:
            raise ServingUnknown(str(error)) from error
        except (IndexError, KeyError, ValueError) as error:  # it was trained for other labels, or for something else
            raise ServingUnknown(f"its answers are not such as the new model gives: {error!r}") from error
        assert service.version is not None  # it has answered
        return service.version, predictions


def _predict(service: Service, task: Task, model: Model, rows: "Dataset") -> list[Any]:
    served = task_named(task.served_as)
    if not served.takes_text:
        return task.predict(service.run, model, rows)
    if not served.comparable:
        raise NotComparable(f"the answers of a {served.name} model are in no form that could be measured here")
    columns = [column for column in task.columns if kind_of(column, task) is TEXT]
    answers = [_of_texts(service, served, model, rows[column]) for column in columns]
    if len(answers) == 1:
        return answers[0]
    return [np.array(several, np.float64) for several in zip(*answers, strict=True)]


def _of_texts(service: Service, served: Contract, model: Model, texts: Sequence[str]) -> list[Any]:
    (tensor,) = served.inputs
    asked = [{"name": tensor.name, "datatype": tensor.datatype, "shape": [1], "data": [text]} for text in texts]
    return [served.prediction(row.tolist(), model.labels) for row in service.rows(asked)]


def _array(output: Mapping[str, Any]) -> NDArray[Any]:
    dtype = _DTYPES.get(output["datatype"])
    if dtype is None:
        raise ServingUnknown(f"its output {output['name']} is {output['datatype']}, which is not compared")
    return np.asarray(output["data"], dtype).reshape(output["shape"])
