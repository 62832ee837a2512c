"""Labels made from numbers and from other labels: which value is which label."""

import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from training.recipe.block import RecipeError

Rule = bool | int | float | str | tuple[bool | int | float | str, ...]  # a value, a condition, or any of several
Test = Callable[[Any], bool]

_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]*)\.0+")
_COMPARE: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_CONDITION: Final = re.compile(r"\s*(<=|>=|<|>)\s*(-?[0-9.]+(?:e-?[0-9]+)?)\s*", re.IGNORECASE)


def as_text(value: Any) -> str:
    """A label as a string: 1, 1.0, "1" and "1.0" are the same one, so are true and "True"; "1.10" and "007" stay."""
    text = json.dumps(value) if isinstance(value, bool | int | float) else str(value)
    if text in ("True", "False"):
        return text.lower()
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def rules(given: Mapping[str, Rule]) -> dict[str, Test]:
    """What each label stands for. Raises ValueError where a condition cannot be read."""
    return {label: _any(rule if isinstance(rule, tuple) else (rule,)) for label, rule in given.items()}


def label_of(value: Any, tests: Mapping[str, Test]) -> str | None:
    """The label that `value` gets, None where none is for it. Raises RecipeError where several are."""
    found = [label for label, test in tests.items() if test(value)]
    if len(found) > 1:
        raise RecipeError(
            f"labels: {value!r} is both {found[0]} and {found[1]}: make the conditions exclude each other"
        )
    return found[0] if found else None


def _any(alternatives: tuple[bool | int | float | str, ...]) -> Test:
    tests = [_test(alternative) for alternative in alternatives]
    return lambda value: any(test(value) for test in tests)


def _test(rule: bool | int | float | str) -> Test:
    if not isinstance(rule, str) or rule.lstrip()[:1] not in ("<", ">"):
        wanted = as_text(rule)
        return lambda value: as_text(value) == wanted
    conditions = []
    for part in rule.split(","):
        found = _CONDITION.fullmatch(part)
        if found is None:
            raise ValueError(f"{rule!r}: write a condition on a number such as '< -0.5' or '>= 0, < 2'")
        conditions.append((_COMPARE[found[1]], float(found[2])))

    def holds(value: Any) -> bool:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise RecipeError(f"labels: {rule!r} is for numbers, not {value!r}") from None
        return all(compare(number, bound) for compare, bound in conditions)

    return holds
