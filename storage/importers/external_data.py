"""The weights that an ONNX graph keeps in files beside it.

A graph names these files freely, so each name is a way out of the model's folder for who wrote the graph. One that
leads out, by `..`, an absolute path or a link, is refused, and so is a tensor that its file cannot hold: the runtime
would map what is not there.
"""

from collections.abc import Iterable
from math import prod
from pathlib import Path, PurePosixPath
from typing import Final

from onnx import TensorProto, helper

from storage.errors import InvalidArtifact
from storage.importers.folder import Folder

# Elements smaller than a byte are packed.
_BITS: Final[dict[int, int]] = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.FLOAT4E2M1: 4,
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
}


def external_paths(model: str, tensors: Iterable[TensorProto]) -> set[str]:
    """The files, relative to the folder, that `tensors` of the graph at `model` lie in.

    Raises InvalidArtifact where one is outside of the graph's own folder.
    """
    return {_path(model, tensor) for tensor in tensors if _is_external(tensor)}


def external_files(folder: Folder, model: str, tensors: Iterable[TensorProto]) -> dict[str, Path]:
    """The same files, each with its place on disk, and every tensor found to fit into its file.

    Raises InvalidArtifact where one is missing, is a link, or is too small.
    """
    files: dict[str, Path] = {}
    for tensor in tensors:
        if not _is_external(tensor):
            continue
        path = _path(model, tensor)
        if path not in files:
            files[path] = folder.require(path, f"the tensor '{tensor.name}' of {model}")
        _check_extent(tensor, path, files[path].stat().st_size)
    return files


def _is_external(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL


def _path(model: str, tensor: TensorProto) -> str:
    location = _entries(tensor).get("location", "")
    parts = PurePosixPath(location).parts
    # ONNX Runtime takes a location between asterisks for an address in its own memory.
    odd = any(character in location for character in "\\\0*")
    if not parts or location.startswith("/") or ".." in parts or odd:
        raise InvalidArtifact(
            f"the tensor '{tensor.name}' of {model} lies in {location!r}: external data must be named by a plain path"
            " inside the model's own folder"
        )
    return str(PurePosixPath(model).parent / location)


def _check_extent(tensor: TensorProto, path: str, size: int) -> None:
    if tensor.data_type == TensorProto.STRING:
        raise InvalidArtifact(f"the tensor '{tensor.name}' holds strings, which cannot be external data")
    if any(dim < 0 for dim in tensor.dims):
        raise InvalidArtifact(f"the tensor '{tensor.name}' has the shape {list(tensor.dims)}")
    try:
        bits = _BITS.get(tensor.data_type) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError as error:
        raise InvalidArtifact(f"the tensor '{tensor.name}' has an unknown data type, {tensor.data_type}") from error
    needed = (prod(tensor.dims) * bits + 7) // 8
    offset = _number(tensor, "offset", 0)
    length = _number(tensor, "length", needed)
    if length != needed:
        raise InvalidArtifact(f"the tensor '{tensor.name}' takes {needed} bytes, its external data says {length}")
    if offset + length > size:
        raise InvalidArtifact(
            f"the tensor '{tensor.name}' ends at byte {offset + length} of {path}, which has {size}: is the file whole?"
        )


def _number(tensor: TensorProto, key: str, default: int) -> int:
    text = _entries(tensor).get(key)
    if text is None:
        return default
    # At most the digits of a 64-bit number: longer ones only cost time to read.
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise InvalidArtifact(f"the tensor '{tensor.name}' has the {key} {text!r:.40} in its external data")
    return int(text)


def _entries(tensor: TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}
