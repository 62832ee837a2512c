"""Tensors of the protocol to and from numpy's arrays."""

import numpy as np

from model_service.engines.base import NUMPY_DTYPES, Array
from storage.manifest import TensorSpec
from wire.errors import InvalidInput
from wire.tensors import Tensor, join_bytes


def to_array(tensor: Tensor, spec: TensorSpec) -> Array:
    """The tensor as an array, without a copy where its datatype allows: fixed sizes, read-only.

    BYTES become an array of objects of `bytes`. Raises InvalidInput unless the tensor is what `spec` asks for and its
    data is what it says.
    """
    shape = tensor.shape
    if (
        tensor.datatype != spec.datatype
        or len(shape) != len(spec.shape)
        or any(size != wanted and (wanted != -1 or size < 0) for size, wanted in zip(shape, spec.shape, strict=True))
    ):
        any_size = " (-1: any size)" if -1 in spec.shape else ""
        raise InvalidInput(
            f"input '{spec.name}' must be {spec.datatype} of shape {list(spec.shape)}{any_size},"
            f" not {tensor.datatype} of shape {list(shape)}"
        )
    try:
        if spec.datatype == "BYTES":
            return _objects(tensor)
        flat = np.frombuffer(tensor.data, NUMPY_DTYPES["UINT8" if spec.datatype == "BOOL" else spec.datatype])
        # Any byte but 0 means true; numpy's own booleans must be 0 or 1.
        return (flat != 0 if spec.datatype == "BOOL" else flat).reshape(shape)
    except ValueError as error:
        raise InvalidInput(
            f"input '{spec.name}': {len(tensor.data)} bytes are not {spec.datatype} of shape {list(shape)}"
        ) from error


def to_tensor(spec: TensorSpec, array: Array) -> Tensor:
    """The array as a tensor of the spec's name and datatype, of which the array must be."""
    data = join_bytes(array.ravel().tolist()) if spec.datatype == "BYTES" else array.tobytes()
    return Tensor(spec.name, spec.datatype, array.shape, data)


def _objects(tensor: Tensor) -> Array:
    elements = tensor.elements()
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array.reshape(tensor.shape)
