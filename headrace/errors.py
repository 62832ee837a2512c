"""What a command ends with when it cannot do what was asked."""

import difflib
from collections.abc import Sequence


class CommandError(Exception):
    """One line that says what is wrong; `hint` says what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def unknown_model(name: str, names: Sequence[str]) -> CommandError:
    """The error for a name that no model has."""
    message = f"there is no model named {name}"
    if near := difflib.get_close_matches(name, names, n=3, cutoff=0.5):
        return CommandError(message, f"did you mean {' or '.join(near)}?")
    if names:
        return CommandError(message, f"there are {', '.join(sorted(names)[:10])}")
    return CommandError(message, "add one with `headrace models add SOURCE`")
