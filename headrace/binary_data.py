"""Requests and answers with numbers that JSON cannot hold: FP16, BF16, NaN and infinity travel as bytes behind it."""

import json
import struct
from array import array
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from headrace.errors import CommandError
from wire.codec import decode_response
from wire.datatypes import TYPECODES
from wire.errors import InvalidInput
from wire.tensors import Tensor, flatten

FLOATS: Final = ("FP16", "BF16", "FP32", "FP64")
JSON_LENGTH: Final = "inference-header-content-length"
_CODES: Final = {"FP16": "e", "BF16": "f", "FP32": "f", "FP64": "d"}  # in `struct`; BF16 is the upper half of FP32


def encode_request(
    request: Mapping[str, Any], *, binary_output: bool, binary_input: bool = False
) -> tuple[bytes, dict[str, str]]:
    """The body of an OIP request, and the headers that describe it. Tensors are bytes where JSON cannot hold them, and
    with `binary_input` all that are floats.

    With `binary_output` the outputs are asked for as bytes, unless the request itself says otherwise. Raises
    CommandError where what stands for a number is none, or too large.
    """
    blobs: list[bytes] = []
    head = {**request, "inputs": [_encode_tensor(tensor, blobs, binary_input) for tensor in request["inputs"]]}
    parameters = request.get("parameters") or {}
    if binary_output and isinstance(parameters, dict):
        head["parameters"] = {"binary_data_output": True, **parameters}
    try:
        text = json.dumps(head, allow_nan=False).encode()
    except ValueError as error:
        hint = f"NaN and Infinity may stand in the data of {', '.join(FLOATS)}"
        raise CommandError("the request holds NaN or Infinity outside of such data", hint) from error
    if not blobs:
        return text, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", JSON_LENGTH: str(len(text))}
    return b"".join((text, *blobs)), headers


def decode_answer(content: bytes, json_length: int) -> Any:
    """The answer whose first bytes are JSON, as if it were JSON altogether: what was bytes is each tensor's `data`.

    Raises InvalidInput where it is malformed.
    """
    outputs = [
        {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape), "data": _unpack(tensor)}
        for tensor in decode_response(content, json_length).outputs
    ]
    return {**json.loads(content[:json_length]), "outputs": outputs}


def _encode_tensor(tensor: Any, blobs: list[bytes], always: bool) -> Any:
    """The tensor without its data, which is added to `blobs`; itself where JSON holds it, or it is malformed."""
    if not isinstance(tensor, dict) or tensor.get("datatype") not in FLOATS or not isinstance(tensor.get("data"), list):
        return tensor
    name, datatype, parameters = tensor.get("name"), tensor["datatype"], tensor.get("parameters") or {}
    if not isinstance(parameters, dict):
        return tensor
    hint = "give a number for each element, or NaN, Infinity or -Infinity"
    try:
        flat = flatten(str(name), tensor["data"])
    except InvalidInput as error:
        raise CommandError(str(error), "give every row the same number of elements") from error
    json_holds_it = datatype in TYPECODES and all(type(element) is not float or isfinite(element) for element in flat)
    if json_holds_it and not always:
        return tensor
    for element in flat:
        if type(element) not in (int, float):
            raise CommandError(f"tensor '{name}': {json.dumps(element):.80} is no number", hint)
    try:
        data = struct.pack(f"<{len(flat)}{_CODES[datatype]}", *flat)
    except (OverflowError, struct.error) as error:
        raise CommandError(f"tensor '{name}': a number is too large for {datatype}", hint) from error
    blobs.append(_halve(data) if datatype == "BF16" else data)
    described = {key: value for key, value in tensor.items() if key != "data"}
    return {**described, "parameters": {**parameters, "binary_data_size": len(blobs[-1])}}


def _unpack(tensor: Tensor) -> list[Any]:
    """The elements; what is no text in BYTES is shown with backslashes."""
    datatype, data = tensor.datatype, tensor.data
    if datatype == "BYTES":
        return [element.decode(errors="backslashreplace") for element in tensor.elements()]
    if datatype == "BOOL":
        return [byte != 0 for byte in data]
    if datatype == "FP16":
        return [number for (number,) in struct.iter_unpack("<e", data)]
    if datatype == "BF16":
        halves = array("H")
        halves.frombytes(data)
        datatype, data = "FP32", array("I", [half << 16 for half in halves]).tobytes()
    values = array(TYPECODES[datatype])
    values.frombytes(data)
    return values.tolist()


def _halve(data: bytes) -> bytes:
    """The upper halves of FP32, rounded to the nearest, of two that are as near to the even one."""
    return array("H", [(bits + 0x7FFF + (bits >> 16 & 1)) >> 16 for bits in array("I", data)]).tobytes()
