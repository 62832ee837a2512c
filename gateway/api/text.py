"""What the text protocols share: JSON in, texts for a model, vectors out of its answer."""

from array import array
from typing import Any

import orjson

from model_service.protocol.errors import EngineFailed, InvalidInput
from model_service.protocol.tensors import Tensor


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises InvalidInput."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object")
    return value


def texts_of(value: Any, name: str) -> list[bytes]:
    """The one text or the list of them that stands under `name`. Raises InvalidInput."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise InvalidInput(f"{name} must be a string or a list of strings that is not empty")
    for text in texts:
        if isinstance(text, int | list):
            raise InvalidInput(f"{name} must be text: token ids belong to one tokenizer, and are not taken")
        if not isinstance(text, str):
            raise InvalidInput(f"{name} must be a string or a list of strings, not of {text!r:.40}")
    return [text.encode() for text in texts]


def vectors_of(tensor: Tensor) -> list["array[float]"]:
    """The rows of an FP32 tensor of shape [n, dim]. Raises EngineFailed where it is none."""
    if tensor.datatype != "FP32" or len(tensor.shape) != 2:
        raise EngineFailed(f"the model answered {tensor.datatype} of shape {list(tensor.shape)}, not vectors")
    size = 4 * tensor.shape[1]
    return [array("f", tensor.data[at : at + size]) for at in range(0, len(tensor.data), size)]
