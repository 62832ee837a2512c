"""Limits of the JSON that clients send and are sent."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from wire.errors import InvalidInput, TooLarge

_BOM: Final = b"\xef\xbb\xbf"  # some programs begin each text with a byte order mark


@dataclass(slots=True, frozen=True)
class JsonLimits:
    """Bytes of JSON, and values and names in it; `otherwise` says how to do with less.

    The number of values matters more than that of bytes: the two bytes `{}` take 64 bytes of memory, and while JSON is
    parsed, in whichever thread, nothing else in the process runs. Names that are checked one by one cost even more.
    """

    bytes: int = 16 << 20
    values: int = 500_000
    names: int | None = None  # of the fields of all objects
    otherwise: str = "send tensors in binary, and long lists of texts in parts"


DEFAULT: Final = JsonLimits()


def read_json(text: bytes | bytearray | memoryview, limits: JsonLimits | None, what: str) -> dict[str, Any]:
    """The JSON object in `text`, which errors call `what`. None is for what this process or a worker wrote itself.

    Raises TooLarge before anything is read that is over `limits`; InvalidInput.
    """
    if text[:3] == _BOM:
        text = memoryview(text)[3:]
    # Fewer bytes than values are not even counted.
    if limits is not None and len(text) > (limits.values if limits.names is None else limits.names):
        _check_size(text, limits)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"{what} is not JSON: {error}{_hint(bytes(text))}") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be a JSON object")
    return value


def _hint(text: bytes) -> str:
    """What is often meant by what is no JSON."""
    if b"\0" in text:
        return "; where tensors follow as bytes, Inference-Header-Content-Length says how long the JSON before them is"
    if b"NaN" in text or b"Infinity" in text:
        return "; JSON has no NaN and no infinity: send such a tensor as binary data"
    return ""


def check_answer(values: int, text_bytes: int, limits: JsonLimits, otherwise: str) -> None:
    """Raises InvalidInput where an answer of so many values, and of so many bytes of text, is not written as JSON.

    `otherwise` says how the client's protocol has it.
    """
    if values > limits.values:
        raise InvalidInput(f"the answer has {values} values, as JSON it may have {limits.values}: {otherwise}")
    if text_bytes > limits.bytes:
        raise InvalidInput(
            f"the answer has {text_bytes} bytes of text, as JSON it may have {limits.bytes}: {otherwise}"
        )


def _check_size(text: bytes | bytearray | memoryview, limits: JsonLimits) -> None:
    if len(text) > limits.bytes:
        raise TooLarge(f"the JSON has {len(text)} bytes, this server reads {limits.bytes}: {limits.otherwise}")
    if isinstance(text, memoryview):
        text = text.tobytes()
    # Each value but the outermost stands behind one of these. Those inside of texts are counted too: on prose they are
    # far from the limit, and to tell them apart would be to parse it.
    if limits.names is not None and text.count(b":") > limits.names:
        raise TooLarge(f"the JSON has more than {limits.names} names, which is the limit: {limits.otherwise}")
    values = 1
    for sign in (b",", b"[", b"{", b":"):
        values += text.count(sign)
        if values > limits.values:
            raise TooLarge(f"the JSON has more than {limits.values} values, which is the limit: {limits.otherwise}")
