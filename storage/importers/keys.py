"""Every key of a model's files is obeyed, known to change nothing here, or refused by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from storage.errors import InvalidArtifact


@dataclass(frozen=True, slots=True)
class Key:
    """How one key is treated: `why` it is accepted, or why only the values that pass `fits` are."""

    why: str
    fits: Callable[[Any], bool] | None = None


Table = Mapping[str, Key]


def obeyed(by: str) -> Key:
    """A key that is obeyed: `by` names the field of the manifest that it goes to, or says how."""
    return Key(by)


def harmless(why: str) -> Key:
    """A key that changes no answer of a text model here."""
    return Key(why)


def only(*values: Any, why: str) -> Key:
    """A key that must have one of these values, if it is there."""
    return Key(why, lambda value: any(value == known and type(value) is type(known) for known in values))


def empty(why: str) -> Key:
    """A key that must be null, false, or an empty list, object or text, if it is there."""
    return Key(why, lambda value: not value)


def check_keys(path: str, config: Mapping[str, Any], table: Table) -> None:
    """Raises InvalidArtifact for a key of the file `path` that `table` does not know, or a value that does not fit."""
    for key, value in config.items():
        known = table.get(key)
        if known is None:
            raise InvalidArtifact(
                f"{path}: nobody here knows what '{key}' ({value!r:.60}) would change: take it out of the file if it"
                " changes no answer"
            )
        if known.fits is not None and not known.fits(value):
            raise InvalidArtifact(f"{path}: '{key}' is {value!r:.60}, which is not obeyed here: {known.why}")


WRITTEN_BY: Final = harmless("which versions wrote the file")
