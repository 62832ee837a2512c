"""OIP v2 inference messages to and from HTTP bodies, with the binary tensor data extension.

Source: the Open Inference Protocol's "Inference Request" and Triton's "Binary Tensor Data Extension". A body is JSON,
and after it, in the order of the JSON's tensors, the bytes of those that say `binary_data_size`.
"""

from math import prod
from time import monotonic
from typing import Any, Final

import orjson

from wire.errors import InvalidInput, TooLarge
from wire.json_body import DEFAULT, JsonLimits, check_answer, read_json
from wire.messages import InferRequest, InferResponse, RequestedOutput
from wire.parameters import refuse, significant, take_flag, take_timeout
from wire.quote import quote
from wire.tensors import Data, Tensor, check_datatype, check_shape, from_binary, from_json, to_json

# Far above what graphs have, and below what would cost anything.
MAX_TENSORS: Final = 1024
MAX_NAME: Final = 1024  # characters
MAX_PARAMETERS: Final = 64 << 10  # bytes of them as JSON: they travel to the worker, and into the cache's key
# What to do about an answer that JSON may not hold.
OTHERWISE: Final = 'ask for it in binary ("binary_data_output": true), or for fewer rows at a time'

SHARED_BYTES: Final = 64 << 10  # tensors that are larger are views of the body that they came in

_NOTHING: Final = memoryview(b"")

Body = bytes | bytearray | memoryview


def decode_request(
    body: Body,
    json_length: int | None,
    model: str,
    version: str | None,
    deadline: float | None = None,
    limits: JsonLimits = DEFAULT,
) -> InferRequest:
    """The request in `body`, whose first `json_length` bytes are JSON (all of it where None).

    Its parameter `timeout` counts from now, and may only bring `deadline` nearer. Raises InvalidInput for whatever is
    malformed, with the tensor's name where it has one; TooLarge.
    """
    head, blobs = _split(body, json_length, limits)
    request_id = head.get("id")
    if request_id is not None and (not isinstance(request_id, str) or len(request_id) > MAX_NAME):
        raise InvalidInput(f"id must be a string of at most {MAX_NAME} characters")
    # To search the bytes is cheaper than to look at the type of every number. A text or a name that holds one of the
    # words costs no more than that look.
    text = body if json_length is None else memoryview(body)[:json_length]
    text = text.tobytes() if isinstance(text, memoryview) else text
    booleans = b"true" in text or b"false" in text
    inputs = _tensors(head.get("inputs"), "inputs", blobs, limits, booleans)
    if not inputs:
        raise InvalidInput("inputs must name at least one tensor")
    parameters = _object(head.get("parameters"), "parameters")
    binary_output = False
    if parameters:
        _check_parameters(parameters)
        binary_output = take_flag(parameters, "binary_data_output") is True
        if (timeout_s := take_timeout(parameters)) is not None:
            wanted = monotonic() + timeout_s
            deadline = wanted if deadline is None else min(deadline, wanted)
        parameters = significant(parameters, "parameter")
    return InferRequest(
        model=model,
        version=version,
        inputs=inputs,
        outputs=_requested_outputs(head.get("outputs")),
        parameters=parameters,
        id=request_id,
        binary_output=binary_output,
        deadline=deadline,
    )


def bytes_to_read(body: Body, json_length: int | None) -> int:
    """How many bytes of a request decoding looks at: tensors in binary are taken as they are, but for BYTES."""
    if json_length is None or not 0 <= json_length <= len(body):
        return len(body)
    return len(body) if b"BYTES" in bytes(memoryview(body)[:json_length]) else json_length


def _check_parameters(parameters: dict[str, Any]) -> None:
    try:
        size = len(orjson.dumps(parameters))
    except TypeError as error:  # it reads 1,024 levels, and writes 254
        raise InvalidInput("parameters are nested too deep") from error
    if size > MAX_PARAMETERS:
        raise InvalidInput(f"parameters have {size} bytes as JSON, this server takes {MAX_PARAMETERS}")


def encode_request(request: InferRequest) -> tuple[bytes, int]:
    """A body with every tensor in binary, asking for binary outputs, and the length of its JSON."""
    head, *blobs = encode_request_parts(request)
    return b"".join((head, *blobs)), len(head)


def encode_request_parts(request: InferRequest) -> list[Data]:
    """The same in parts, without a copy of the tensors: the JSON, then the data of each."""
    head: dict[str, Any] = {
        "inputs": [_binary_head(tensor) for tensor in request.inputs],
        "parameters": {**request.parameters, "binary_data_output": True},
    }
    if request.id is not None:
        head["id"] = request.id
    if request.outputs:
        head["outputs"] = [{"name": output.name, "parameters": {"binary_data": True}} for output in request.outputs]
    return [orjson.dumps(head), *[tensor.data for tensor in request.inputs]]


def encode_response(
    response: InferResponse, request: InferRequest, limits: JsonLimits = DEFAULT
) -> tuple[bytes, int | None]:
    """The body that answers `request`, and the length of its JSON where binary tensors follow (None where none do).

    Raises InvalidInput where JSON was asked for and cannot hold an output's values, or so many of them.
    """
    wanted = {output.name: output.binary for output in request.outputs if output.binary is not None}
    outputs: list[dict[str, Any]] = []
    blobs: list[Data] = []
    values = text = 0
    for tensor in response.outputs:
        if wanted.get(tensor.name, request.binary_output):
            outputs.append(_binary_head(tensor))
            blobs.append(tensor.data)
        else:
            values += prod(tensor.shape)
            text += len(tensor.data) if tensor.datatype == "BYTES" else 0
            check_answer(values, text, limits, OTHERWISE)
            outputs.append({**_head(tensor), "data": to_json(tensor)})
    head: dict[str, Any] = {"model_name": response.model, "model_version": response.version, "outputs": outputs}
    if request.id is not None:
        head["id"] = request.id
    if response.parameters:
        head["parameters"] = response.parameters
    body, length = _join(head, blobs)
    return body, length if blobs else None


def decode_response(body: Body, json_length: int | None) -> InferResponse:
    """The response in `body`: the inverse of `encode_response`. Raises InvalidInput where it is malformed."""
    head, blobs = _split(body, json_length, None)
    return InferResponse(
        model=str(head.get("model_name", "")),
        version=str(head.get("model_version", "")),
        outputs=tuple(_tensors(head.get("outputs"), "outputs", blobs, None)),
        parameters=_object(head.get("parameters"), "parameters"),
        encoded=None if json_length is None else (body, json_length),
    )


def _split(body: Body, json_length: int | None, limits: JsonLimits | None) -> tuple[dict[str, Any], memoryview]:
    if json_length is None:
        return read_json(body, limits, "the request"), _NOTHING
    if not 0 <= json_length <= len(body):
        raise InvalidInput(f"Inference-Header-Content-Length is {json_length}, the body has {len(body)} bytes")
    if json_length == 0 and body:
        raise InvalidInput(
            "raw binary requests are not offered: send JSON that describes the tensors before their bytes"
        )
    view = memoryview(body).toreadonly()
    return read_json(view[:json_length], limits, "the request"), view[json_length:]


def _join(head: dict[str, Any], blobs: list[Data]) -> tuple[bytes, int]:
    text = orjson.dumps(head)
    return b"".join((text, *blobs)), len(text)


def _head(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}


def _binary_head(tensor: Tensor) -> dict[str, Any]:
    return {**_head(tensor), "parameters": {"binary_data_size": len(tensor.data)}}


def _tensors(
    entries: Any, what: str, blobs: memoryview, limits: JsonLimits | None, booleans: bool = True
) -> list[Tensor]:
    if not isinstance(entries, list):
        raise InvalidInput(f"{what} must be a list of tensors")
    _check_count(entries, what)
    tensors, at = [], 0
    for entry in entries:
        name = _name(entry, what)
        datatype = check_datatype(name, entry.get("datatype"))
        shape = check_shape(name, entry.get("shape"))
        size = _binary_size(name, entry["parameters"]) if entry.get("parameters") is not None else None
        if size is None:
            tensors.append(from_json(name, datatype, shape, entry.get("data"), booleans))
            continue
        if entry.get("data") is not None:
            raise InvalidInput(f"tensor '{name}' has both data and binary_data_size: say its elements once")
        if at + size > len(blobs):
            raise InvalidInput(f"tensor '{name}': {size} bytes are announced, {len(blobs) - at} are left in the body")
        # Each element of BYTES becomes an object, as each value of JSON does.
        if limits is not None and datatype == "BYTES" and prod(shape) > limits.values:
            raise TooLarge(f"tensor '{name}' has {prod(shape)} elements, BYTES may have {limits.values}")
        data = blobs[at : at + size]
        # A copy lets the body go, and costs nothing where it is small.
        tensors.append(from_binary(name, datatype, shape, data if size > SHARED_BYTES else bytes(data)))
        at += size
    if at != len(blobs):
        raise InvalidInput(f"{len(blobs) - at} bytes stand behind the last tensor")
    if len(tensors) > 1 and len({tensor.name for tensor in tensors}) != len(tensors):
        raise InvalidInput(f"two {what} have the same name")
    return tensors


def _binary_size(name: str, parameters: Any) -> int | None:
    """How many of the bytes behind the JSON are this tensor's; None where its elements are in the JSON."""
    parameters = _object(parameters, f"tensor '{name}': parameters")
    size = parameters.pop("binary_data_size", None)
    if parameters:
        refuse(parameters, f"tensor '{name}': parameter")
    if size is not None and (type(size) is not int or size < 0):
        raise InvalidInput(f"tensor '{name}': binary_data_size must be a non-negative integer, not {quote(size)}")
    return size


def _requested_outputs(entries: Any) -> tuple[RequestedOutput, ...]:
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise InvalidInput("outputs must be a list")
    _check_count(entries, "outputs")
    outputs, named = [], set()
    for entry in entries:
        name = _name(entry, "outputs")
        if name in named:
            raise InvalidInput(f"outputs name '{name}' more than once: an answer holds each output once")
        named.add(name)
        parameters = _object(entry.get("parameters"), f"output '{name}': parameters")
        binary = take_flag(parameters, "binary_data", f"output '{name}': parameter")
        if parameters:
            refuse(parameters, f"output '{name}': parameter")
        outputs.append(RequestedOutput(name, binary))
    return tuple(outputs)


def _check_count(entries: list[Any], what: str) -> None:
    if len(entries) > MAX_TENSORS:
        raise InvalidInput(f"{what} name {len(entries)} tensors, a request may name {MAX_TENSORS}")


def _name(entry: Any, what: str) -> str:
    if not isinstance(entry, dict) or not isinstance(name := entry.get("name"), str) or not name:
        raise InvalidInput(f"each of {what} must be an object with a name")
    if len(name) > MAX_NAME:
        raise InvalidInput(f"a name of {what} has {len(name)} characters, the most is {MAX_NAME}")
    return name


def _object(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be an object")
    return value
