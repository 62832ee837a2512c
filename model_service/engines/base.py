"""What every engine is to the rest of a worker."""

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model_service.engines.cancel import CancelToken
from storage.manifest import TensorSpec

Array = NDArray[Any]
Arrays = dict[str, Array]

# BYTES elements are Python `bytes` in an array of objects.
NUMPY_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}

# Of a batch, which a worker takes of an engine's process into its own memory, unless it is told otherwise.
OUTPUT_BYTES: Final = 256 << 20


class EngineError(Exception):
    """The engine could not load or run the model."""


class ProviderMissing(EngineError):
    """This machine lacks the device or the libraries that the model asks for: no fault of the version."""


class OutOfMemory(EngineError):
    """This machine had too little memory left for the model: no fault of the version."""


class OutputsTooLarge(EngineError):
    """What the graph answered is larger than a worker takes of it at once."""


class EngineCrashed(EngineError):
    """The engine's process died while it ran this, of something in the batch or because somebody killed it."""


class EngineLost(EngineError):
    """The engine's process has died and does not start again: whatever it is asked, it cannot answer."""


def check_outputs(outputs: Arrays, limit: int) -> None:
    """Raises OutputsTooLarge for more than `limit` bytes."""
    size = sum([array.nbytes if array.dtype != np.object_ else sum(map(len, array.flat)) for array in outputs.values()])
    if size > limit:
        raise OutputsTooLarge(f"the graph answers {size} bytes, this server takes {limit} of it: ask for less")


class Engine(Protocol):
    """A loaded graph. `inputs` and `outputs` are its own tensors, read from the graph."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, inputs: Arrays, cancel: CancelToken | None = None) -> Arrays:
        """Every output for `inputs`, whose first dimension is the batch. Blocks; several threads may call it at once.

        Ends soon after `cancel` is cancelled, with EngineError. Raises EngineError where the runtime refuses the input.
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds; it is not run again."""
        ...
