"""Whether what a recipe gives a library's dataclass is of the type that the class says, which it does not check."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from training.recipe.block import RecipeError

_WORDS: Final[Mapping[Any, str]] = {bool: "true or false", int: "a whole number", float: "a number"}
_ABOVE_ZERO: Final = (
    "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps", "num_train_epochs",
    "r", "num_virtual_tokens",
)  # fmt: skip


def check_values(given: Mapping[str, Any], kind: type, where: str) -> None:
    """Raise RecipeError where `given`, whose keys `kind` takes, has another thing in the place of a number or a bool.

    What else a class takes, such as names and objects, is left to the class.
    """
    hints = get_type_hints(kind)
    wrong = [
        f"{where}.{key} is {value!r}, where {wanted} is wanted"
        for key, value in given.items()
        if (wanted := _expected_kind(key, value, _kinds(hints[key]))) is not None
    ]
    if wrong:
        raise RecipeError("\n".join(wrong))


def _kinds(hint: Any) -> set[Any]:
    return set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}


def _expected_kind(key: str, value: Any, kinds: set[Any]) -> str | None:
    """The kind of value that is wanted there; None where the value is of it."""
    if value is None and NoneType in kinds:
        return None
    kinds = kinds - {NoneType}
    if len(kinds) != 1 or (kind := kinds.pop()) not in _WORDS:
        return None
    fits = (int, float) if kind is float else kind
    if not isinstance(value, fits) or (isinstance(value, bool) and kind is not bool):  # a bool is an int in Python
        return _WORDS[kind]
    return f"{_WORDS[kind]} above 0" if key in _ABOVE_ZERO and value <= 0 else None
