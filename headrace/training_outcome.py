"""What a stage of a run came to, in one line."""

import re
from collections.abc import Mapping
from typing import Any, Final

_SHOWN: Final = 100  # characters of a value
_APART: Final = ("gates", "failed")  # which have lines of their own
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def describe_test(evaluated: Mapping[str, Any]) -> str:
    """The metrics on the test rows of the variant that serves, with their intervals."""
    served = evaluated["served"]
    figures = [
        f"{name} {_value(found['value'])}"
        + (f" ({_value(found['low'])} to {_value(found['high'])})" if found["low"] != found["high"] else "")
        for name, found in evaluated["metrics"][served].items()
    ]
    return f"{served} on {evaluated['rows']} test rows: {', '.join(figures)}"


def describe_stage(name: str, seconds: float, outcome: Mapping[str, Any]) -> str:
    """How long the stage took, 0 where it was done before, and its outcome but for what is long."""
    took = f"{seconds:.1f} s" if seconds else "done before"
    told = ", ".join(f"{key} {_value(value)}" for key, value in outcome.items() if key not in _APART and _worth(value))
    return f"{name}: {took}; {told}"


def _worth(value: Any) -> bool:
    return value not in (None, "", [], {}) and len(_value(value)) <= _SHOWN


def _value(value: Any) -> str:
    match value:
        case float():
            return f"{value:.4g}"
        case dict():
            return "(" + ", ".join(f"{key} {_value(inner)}" for key, inner in value.items()) + ")"
        case list():
            return ", ".join(map(_value, value))
        case str() if _DIGEST.fullmatch(value):
            return value[:12]
    return str(value)
