"""A parameter of an inference request that a task reads: its default, what it may be, and its JSON schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from wire.errors import InvalidInput
from wire.quote import quote
from wire.schemas import STRING, Schema, one_word_of, or_null

Given = Mapping[str, Any]


class Parameter(Protocol):
    """One of them; `default` is what leaving it out means, None where the model then does as it does by itself."""

    @property
    def name(self) -> str: ...
    @property
    def default(self) -> Any: ...
    @property
    def schema(self) -> Schema: ...


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    name: str
    default: bool
    about: str

    @property
    def schema(self) -> Schema:
        return or_null({"type": "boolean", "description": self.about})

    def read(self, given: Given) -> bool:
        """Its value in a request's parameters. Raises InvalidInput."""
        value = given.get(self.name, self.default)
        if not isinstance(value, bool):
            raise InvalidInput(f"parameter '{self.name}' must be true or false, not {quote(value)}")
        return value


@dataclass(frozen=True, slots=True)
class Count:
    """An integer of 1 or more."""

    name: str
    about: str = ""
    default: None = None

    @property
    def schema(self) -> Schema:
        return or_null({"type": "integer", "minimum": 1} | ({"description": self.about} if self.about else {}))

    def read(self, given: Given, most: int = -1) -> int | None:
        """Its value in a request's parameters, up to `most` unless that is -1. Raises InvalidInput."""
        value = given.get(self.name)
        if value is not None and (type(value) is not int or value < 1 or value > most >= 0):
            limit = f"from 1 to {most}" if most >= 0 else "of 1 or more"
            raise InvalidInput(f"parameter '{self.name}' must be an integer {limit}, not {quote(value)}")
        return value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    name: str
    default: str
    others: tuple[str, ...]

    @property
    def schema(self) -> Schema:
        return or_null(one_word_of(sorted((self.default, *self.others))))

    def read(self, given: Given) -> str:
        """Its value in a request's parameters. Raises InvalidInput."""
        value = given.get(self.name, self.default)
        if value != self.default and value not in self.others:
            words = " or ".join(map(repr, (self.default, *self.others)))
            raise InvalidInput(f"parameter '{self.name}' must be {words}, not {quote(value)}")
        return str(value)


@dataclass(frozen=True, slots=True)
class Name:
    """A name of something that the model has: which ones there are, the model alone knows."""

    name: str
    about: str
    default: None = None

    @property
    def schema(self) -> Schema:
        return or_null({**STRING, "description": self.about})
