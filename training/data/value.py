"""What is wrong with a value of a row, and how a complaint calls it."""

import json
from collections.abc import Mapping
from typing import Any


class Missing(ValueError):
    """A value that is not there, or says nothing: its row is dropped, with this as the reason."""

    def __init__(self, reason: str, kind: str = "missing") -> None:
        super().__init__(reason)
        self.kind = kind


def name_kind(value: Any) -> str:
    """The kind of thing that it is."""
    names: Mapping[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), f"a {type(value).__name__}")


def short(value: Any) -> str:
    """The value itself, or how it begins."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def require_text(value: Any) -> None:
    """Raises ValueError where what JSON said has half of a character, which JSON can escape and no file can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(
            f"has \\u{ord(half):04x}, half of a character whose other half is missing: remove it, or write both"
        ) from None
