"""What an error shows of a value that a client sent: enough to know it by, however large it is."""

from typing import Any

_CHARACTERS = 40


def quote(value: Any) -> str:
    """As JSON would have it, cut short. A `repr` cut short has been made whole before, at many times its size."""
    match value:
        case str() if len(value) > _CHARACTERS:
            return f"{value[:_CHARACTERS]!r}..."
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case list():
            return f"a list of {len(value)}"
        case dict():
            return f"an object of {len(value)}"
        case _:
            return repr(value)[:_CHARACTERS]
