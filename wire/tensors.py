"""A tensor as the wire has it: a name, a datatype, a shape and little-endian bytes, row-major."""

import struct
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite, prod
from typing import Any, Final

from wire.datatypes import DATATYPES, SIZES, TYPECODES
from wire.errors import InvalidInput
from wire.quote import quote

MAX_RANK: Final = 32
MAX_ELEMENTS: Final = 2**63 - 1
_NAMES: Final[dict[type, str]] = {str: "a string", bool: "true or false"}


Data = bytes | memoryview  # a view is of bytes, and into a body that nobody changes


@dataclass(slots=True)
class Tensor:
    """`data` holds `prod(shape)` elements: of fixed size, or, for BYTES, each a `<u32 length><bytes>`."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Data

    @property
    def rows(self) -> int:
        """The size of the first dimension, along which requests are batched; 1 for a scalar."""
        return self.shape[0] if self.shape else 1

    def elements(self) -> list[bytes]:
        """The elements of a BYTES tensor, in row-major order."""
        return split_bytes(self.data, prod(self.shape), self.name)


def size_of(tensors: Iterable[Tensor]) -> int:
    """How many bytes the elements of all these tensors have."""
    return sum([len(tensor.data) for tensor in tensors])


def from_binary(name: str, datatype: str, shape: tuple[int, ...], data: Data) -> Tensor:
    """Check `data` against the datatype and the shape.

    Raises InvalidInput when it is too long, too short or, for BYTES, when the lengths inside lie.
    """
    if datatype == "BYTES":
        split_bytes(data, prod(shape), name)
    elif len(data) != (expected := prod(shape) * SIZES[datatype]):
        raise InvalidInput(
            f"tensor '{name}': {datatype} of shape {list(shape)} takes {expected} bytes, {len(data)} came"
        )
    return Tensor(name, datatype, shape, data)


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any, booleans: bool = True) -> Tensor:
    """Pack JSON `data`, flat or nested, of the given datatype. `booleans` is whether true or false may be in it.

    Raises InvalidInput where an element does not fit the datatype, or their count does not fit the shape.
    """
    flat = flatten(name, data)
    if len(flat) != (expected := prod(shape)):
        raise InvalidInput(f"tensor '{name}': shape {list(shape)} takes {expected} elements, {len(flat)} came")
    try:
        return Tensor(name, datatype, shape, _pack(datatype, flat, booleans))
    except (TypeError, OverflowError, UnicodeEncodeError) as error:
        raise InvalidInput(f"tensor '{name}': an element is not {datatype}: {error}") from error


def to_json(tensor: Tensor) -> list[Any]:
    """The elements as a flat list for JSON.

    Raises InvalidInput for what JSON cannot hold (FP16 and BF16, non-finite floats, BYTES that are not UTF-8): the
    client can have them with `binary_data: true`.
    """
    datatype = tensor.datatype
    if datatype == "BYTES":
        try:
            return [element.decode() for element in tensor.elements()]
        except UnicodeDecodeError as error:
            raise InvalidInput(f"tensor '{tensor.name}' is not UTF-8: ask for it with binary_data") from error
    if datatype == "BOOL":
        return [byte != 0 for byte in tensor.data]
    if datatype not in TYPECODES:
        raise InvalidInput(f"tensor '{tensor.name}': {datatype} has no JSON form: ask for it with binary_data")
    values = array(TYPECODES[datatype])
    values.frombytes(tensor.data)
    # A sum of finite FP32 stays finite in a double; one of FP64 may not, so a suspicion is looked at twice.
    if datatype[0] == "F" and not isfinite(sum(values)) and not all(map(isfinite, values)):
        raise InvalidInput(f"tensor '{tensor.name}' holds NaN or infinity: ask for it with binary_data")
    return values.tolist()


def join_bytes(elements: Iterable[bytes]) -> bytes:
    """The data of a BYTES tensor."""
    return b"".join(chain.from_iterable((struct.pack("<I", len(e)), e) for e in elements))


def split_bytes(data: Data, count: int, name: str) -> list[bytes]:
    """The inverse of `join_bytes`. Raises InvalidInput unless exactly `count` elements fill `data`."""
    elements: list[bytes] = []
    at, end = 0, len(data)
    while at < end and len(elements) < count:
        start = at + 4
        if start > end:
            break
        at = start + int.from_bytes(data[at:start], "little")
        if at > end:
            break
        elements.append(bytes(data[start:at]))
    if at != end or len(elements) != count:
        raise InvalidInput(f"tensor '{name}': its bytes are not {count} elements of <u32 length><bytes>")
    return elements


def bytes_tensor(name: str, elements: Sequence[bytes]) -> Tensor:
    """A BYTES tensor of shape `[len(elements)]`."""
    return Tensor(name, "BYTES", (len(elements),), join_bytes(elements))


def check_datatype(name: str, datatype: Any) -> str:
    """`datatype`, if the protocol has it; InvalidInput otherwise."""
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise InvalidInput(
            f"tensor '{name}': unknown datatype {quote(datatype)}; one of {', '.join(sorted(DATATYPES))}"
        )
    return datatype


def check_shape(name: str, shape: Any) -> tuple[int, ...]:
    """`shape` as a tuple of non-negative integers; InvalidInput otherwise."""
    if not isinstance(shape, list):
        raise InvalidInput(f"tensor '{name}': shape must be a list of non-negative integers, not {quote(shape)}")
    for size in shape:
        if type(size) is not int or size < 0:
            raise InvalidInput(f"tensor '{name}': shape must be a list of non-negative integers, {quote(size)} is none")
    # Beyond this nothing fits into any memory, and Python would compute on, ever more slowly.
    if len(shape) > MAX_RANK or (shape and max(shape) > MAX_ELEMENTS) or prod(shape) > MAX_ELEMENTS:
        raise InvalidInput(f"tensor '{name}': more than {MAX_RANK} dimensions, or than {MAX_ELEMENTS} elements")
    return tuple(shape)


def flatten(name: str, data: Any) -> list[Any]:
    """The elements of JSON `data`, which is a list, flat or nested. Raises InvalidInput."""
    if not isinstance(data, list):
        raise InvalidInput(f"tensor '{name}': data must be a list")
    flat: list[Any] = data
    while flat and isinstance(flat[0], list):
        length = len(flat[0])
        if not all([isinstance(row, list) and len(row) == length for row in flat]):
            raise InvalidInput(f"tensor '{name}': data is nested unevenly")
        flat = list(chain.from_iterable(flat))
    return flat


def _pack(datatype: str, flat: list[Any], booleans: bool) -> bytes:
    if datatype == "BYTES":
        return join_bytes([element.encode() for element in _all_of(str, flat)])
    if datatype == "BOOL":
        return bytes(_all_of(bool, flat))
    if datatype not in TYPECODES:
        raise TypeError(f"{datatype} has no JSON form, send it as binary data")
    if booleans and bool in map(type, flat):  # which `array` takes for 0 and 1
        raise TypeError("true and false are BOOL, send numbers")
    try:
        packed = array(TYPECODES[datatype], flat)
    except (TypeError, OverflowError):
        raise TypeError(_misfit(datatype, flat)) from None
    if datatype == "FP32" and not isfinite(sum(packed)):
        raise OverflowError("a number is too large for FP32")
    return packed.tobytes()


def _misfit(datatype: str, flat: list[Any]) -> str:
    """What is wrong with the first element that an array of numbers does not take."""
    floats, bits = datatype.startswith("FP"), 8 * SIZES[datatype]
    low, high = (0, 2**bits - 1) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for element in flat:
        if element is None:
            missing = ": a missing value is NaN, which has no JSON form, send it as binary data" if floats else ""
            return f"null is no number{missing}"
        if type(element) not in (int, float):
            return f"{quote(element)} is no number"
        if not floats and not (type(element) is int and low <= element <= high):  # JSON reads 1.0 and 2**64 as floats
            return f"{quote(element)} is no whole number from {low} to {high}"
    return "a number is too large"


def _all_of(kind: type, flat: list[Any]) -> list[Any]:
    for element in flat:
        if type(element) is not kind:
            raise TypeError(f"{quote(element)} is not {_NAMES[kind]}")
    return flat
