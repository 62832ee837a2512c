"""What is wrong with a value of a row, and how a complaint calls it."""

from collections.abc import Mapping
from typing import Any


class Missing(ValueError):
    """A value that is not there, or says nothing: its row is dropped, with this as the reason."""

    def __init__(self, reason: str, kind: str = "missing") -> None:
        super().__init__(reason)
        self.kind = kind


def called(value: Any) -> str:
    """The kind of thing that it is."""
    names: Mapping[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), f"a {type(value).__name__}")


def short(value: Any) -> str:
    """The value itself, or how it begins."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
