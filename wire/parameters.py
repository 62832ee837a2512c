"""What the parameters of an inference request mean here: each is obeyed, or changes nothing, or is refused by name.

Of a parameter that may be left out, null says that it is.
"""

from collections.abc import Mapping, Set
from typing import Any, Final

from wire.errors import InvalidInput
from wire.quote import quote

Parameters = Mapping[str, Any]

_SHARED_MEMORY: Final = "shared memory is not offered; send and read the tensor itself, in binary"
_SEQUENCE: Final = "sequences are not offered: nothing is kept between requests"
# Parameters of Triton's whose value 0, false or "" is the same as none at all.
_REASONS: Final = {
    "shared_memory_region": _SHARED_MEMORY,
    "shared_memory_offset": _SHARED_MEMORY,
    "shared_memory_byte_size": _SHARED_MEMORY,
    "classification": "the classification extension is not offered; read the tensor",
    "priority": "priorities are not offered: requests are answered as they come",
    "sequence_id": _SEQUENCE,
    "sequence_start": _SEQUENCE,
    "sequence_end": _SEQUENCE,
    "triton_enable_empty_final_response": "every request has one answer, and none without outputs",
}
# What MLServer's clients say of tensors that are written as the protocol has them anyway.
_CONTENT_TYPES: Final = ("np", "pd", "str")
_LONGEST_TIMEOUT_US: Final = 10**15


def take_timeout(parameters: dict[str, Any]) -> float | None:
    """Take `timeout`, the microseconds that the client will wait, out of a request's parameters: in seconds."""
    value = parameters.pop("timeout", None)
    if value is None or (value == 0 and type(value) is int):  # Triton's 0 is "as the server has it"
        return None
    if type(value) is not int or not 0 < value <= _LONGEST_TIMEOUT_US:
        raise InvalidInput(f"parameter 'timeout' must be a whole number of microseconds, not {quote(value)}")
    return value / 1e6


def take_flag(parameters: dict[str, Any], name: str, what: str = "parameter") -> bool | None:
    """Take the parameter `name` out: true, false, or None where it is not there."""
    value = parameters.pop(name, None)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidInput(f"{what} '{name}' must be true or false, not {quote(value)}")


def significant(parameters: Parameters, what: str) -> dict[str, Any]:
    """Those that are neither null nor harmless. Raises InvalidInput for one that this server never obeys."""
    kept = {}
    for name, value in parameters.items():
        if value is None or (name == "content_type" and value in _CONTENT_TYPES):
            continue
        if name in _REASONS:
            if value in (0, ""):
                continue
            raise InvalidInput(f"{what} '{name}': {_REASONS[name]}")
        kept[name] = value
    return kept


def refuse(parameters: Parameters, what: str) -> None:
    """Raises InvalidInput where one of them is neither null nor harmless."""
    for name in significant(parameters, what):
        raise InvalidInput(f"{what} '{name:.80}' is unknown, and nothing here would obey it")


def check_known(parameters: Parameters, known: Set[str]) -> None:
    """Raises InvalidInput where one of the request's parameters is none of those that the model's task reads."""
    for name in parameters:
        if name not in known:
            raise InvalidInput(
                f"parameter '{name:.80}' is unknown; this model takes {', '.join(sorted(known)) or 'none'}"
            )
