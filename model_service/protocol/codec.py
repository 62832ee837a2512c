"""OIP v2 inference messages to and from HTTP bodies, with the binary tensor data extension.

Source: the Open Inference Protocol's "Inference Request" and Triton's "Binary Tensor Data Extension". A body is JSON,
and after it, in the order of the JSON's tensors, the bytes of those that say `binary_data_size`.
"""

from typing import Any

import orjson

from model_service.protocol.errors import InvalidInput
from model_service.protocol.messages import InferRequest, InferResponse, RequestedOutput
from model_service.protocol.tensors import Tensor, check_datatype, check_shape, from_binary, from_json, to_json


def decode_request(
    body: bytes, json_length: int | None, model: str, version: str | None, deadline: float | None = None
) -> InferRequest:
    """The request in `body`, whose first `json_length` bytes are JSON (all of it where None).

    Raises InvalidInput for whatever is malformed, with the tensor's name where it has one.
    """
    head, blobs = _split(body, json_length)
    request_id = head.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidInput("id must be a string")
    inputs = _tensors(head.get("inputs"), "inputs", blobs)
    if not inputs:
        raise InvalidInput("inputs must name at least one tensor")
    parameters = _object(head.get("parameters"), "parameters")
    if parameters:
        _check_depth(parameters)
    return InferRequest(
        model=model,
        version=version,
        inputs=inputs,
        outputs=_requested_outputs(head.get("outputs")),
        parameters=parameters,
        id=request_id,
        binary_output=parameters.pop("binary_data_output", False) is True,
        deadline=deadline,
    )


def _check_depth(parameters: dict[str, Any]) -> None:
    try:
        orjson.dumps(parameters)
    except TypeError as error:  # it reads 1,024 levels, and writes 254
        raise InvalidInput("parameters are nested too deep") from error


def encode_request(request: InferRequest) -> tuple[bytes, int]:
    """A body with every tensor in binary, asking for binary outputs, and the length of its JSON."""
    head: dict[str, Any] = {
        "inputs": [_binary_head(tensor) for tensor in request.inputs],
        "parameters": {**request.parameters, "binary_data_output": True},
    }
    if request.id is not None:
        head["id"] = request.id
    if request.outputs:
        head["outputs"] = [{"name": output.name, "parameters": {"binary_data": True}} for output in request.outputs]
    return _join(head, [tensor.data for tensor in request.inputs])


def encode_response(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """The body that answers `request`, and the length of its JSON where binary tensors follow (None where none do).

    Raises InvalidInput where JSON was asked for and cannot hold an output's values.
    """
    wanted = {output.name: output.binary for output in request.outputs if output.binary is not None}
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for tensor in response.outputs:
        if wanted.get(tensor.name, request.binary_output):
            outputs.append(_binary_head(tensor))
            blobs.append(tensor.data)
        else:
            outputs.append({**_head(tensor), "data": to_json(tensor)})
    head: dict[str, Any] = {"model_name": response.model, "model_version": response.version, "outputs": outputs}
    if request.id is not None:
        head["id"] = request.id
    if response.parameters:
        head["parameters"] = response.parameters
    body, length = _join(head, blobs)
    return body, length if blobs else None


def decode_response(body: bytes, json_length: int | None) -> InferResponse:
    """The response in `body`: the inverse of `encode_response`. Raises InvalidInput where it is malformed."""
    head, blobs = _split(body, json_length)
    return InferResponse(
        model=str(head.get("model_name", "")),
        version=str(head.get("model_version", "")),
        outputs=tuple(_tensors(head.get("outputs"), "outputs", blobs)),
        parameters=_object(head.get("parameters"), "parameters"),
    )


def _split(body: bytes, json_length: int | None) -> tuple[dict[str, Any], bytes]:
    if json_length is None:
        json_length = len(body)
    if not 0 <= json_length <= len(body):
        raise InvalidInput(f"Inference-Header-Content-Length is {json_length}, the body has {len(body)} bytes")
    try:
        head = orjson.loads(memoryview(body)[:json_length])
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the request is not JSON: {error}") from error
    if not isinstance(head, dict):
        raise InvalidInput("the request must be a JSON object")
    return head, body[json_length:]


def _join(head: dict[str, Any], blobs: list[bytes]) -> tuple[bytes, int]:
    text = orjson.dumps(head)
    return b"".join((text, *blobs)), len(text)


def _head(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}


def _binary_head(tensor: Tensor) -> dict[str, Any]:
    return {**_head(tensor), "parameters": {"binary_data_size": len(tensor.data)}}


def _tensors(entries: Any, what: str, blobs: bytes) -> list[Tensor]:
    if not isinstance(entries, list):
        raise InvalidInput(f"{what} must be a list of tensors")
    tensors, at = [], 0
    for entry in entries:
        name = _name(entry, what)
        datatype = check_datatype(name, entry.get("datatype"))
        shape = check_shape(name, entry.get("shape"))
        size = _object(entry.get("parameters"), f"tensor '{name}': parameters").get("binary_data_size")
        if size is None:
            tensors.append(from_json(name, datatype, shape, entry.get("data")))
            continue
        if type(size) is not int or size < 0:
            raise InvalidInput(f"tensor '{name}': binary_data_size must be a non-negative integer, not {size!r:.40}")
        if at + size > len(blobs):
            raise InvalidInput(f"tensor '{name}': {size} bytes are announced, {len(blobs) - at} are left in the body")
        tensors.append(from_binary(name, datatype, shape, blobs[at : at + size]))
        at += size
    if at != len(blobs):
        raise InvalidInput(f"{len(blobs) - at} bytes stand behind the last tensor")
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise InvalidInput(f"two {what} have the same name")
    return tensors


def _requested_outputs(entries: Any) -> tuple[RequestedOutput, ...]:
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise InvalidInput("outputs must be a list")
    outputs = []
    for entry in entries:
        name = _name(entry, "outputs")
        parameters = _object(entry.get("parameters"), f"output '{name}': parameters")
        if "classification" in parameters:
            raise InvalidInput(f"output '{name}': the classification extension is not offered; read the tensor")
        binary = parameters.get("binary_data")
        outputs.append(RequestedOutput(name, binary if isinstance(binary, bool) else None))
    return tuple(outputs)


def _name(entry: Any, what: str) -> str:
    if not isinstance(entry, dict) or not isinstance(name := entry.get("name"), str) or not name:
        raise InvalidInput(f"each of {what} must be an object with a name")
    return name


def _object(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be an object")
    return value
