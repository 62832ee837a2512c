"""What the blocks of a recipe have in common: a key that no block knows is an error that names the nearest one."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails


class RecipeError(Exception):
    """The recipe cannot be run as it stands."""


class Block(BaseModel):
    """A part of a recipe. Equal blocks have equal JSON, which is what a stage's result is kept under."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def explain(error: ValidationError, block: type[BaseModel]) -> RecipeError:
    """Pydantic's complaints as an error for the person who wrote the recipe, a line each."""
    found = error.errors()
    # Without the items that are wrong a list is too short, which is no mistake of its own.
    causes = [detail for detail in found if detail["type"] != "too_short" or not _below(detail["loc"], found)]
    return RecipeError("\n".join(dict.fromkeys(_line(detail, block) for detail in causes)))


def all_of(*looks: Callable[[], object]) -> None:
    """Look at each thing. Raises one RecipeError with the lines of all that the looks raise."""
    wrong: list[str] = []
    for look in looks:
        try:
            look()
        except RecipeError as error:
            wrong += str(error).splitlines()
    if wrong:
        raise RecipeError("\n".join(dict.fromkeys(wrong)))


def check_keys(given: Mapping[str, Any], known: Iterable[str], where: str, of: str) -> None:
    """Raise RecipeError where `given`, which goes verbatim to `of`, has a key that it does not take."""
    known = sorted(known)
    wrong = [f"{where}.{key}: {of} takes no such key{nearest(key, known)}" for key in given if key not in known]
    if wrong:
        raise RecipeError("\n".join(wrong))


def nearest(key: str, known: Iterable[str]) -> str:
    """The end of a complaint about `key`: which of the known ones comes nearest, or all of them."""
    known = list(known)
    found = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if found:
        return f", did you mean {found[0]}?"
    return f"; there are {', '.join(known)}" if known else ""


def _line(detail: ErrorDetails, block: type[BaseModel]) -> str:
    path = detail["loc"]
    where = ".".join(map(str, path))
    if detail["type"] == "extra_forbidden":
        return f"{where}: there is no such key{nearest(str(path[-1]), _keys(block, path[:-1]))}"
    if detail["type"] == "literal_error":
        return f"{where}: there is no {detail['input']!r}{nearest(str(detail['input']), _literals(detail))}"
    return f"{where}: {detail['msg'].removeprefix('Value error, ')}" if where else detail["msg"]


def _below(place: tuple[int | str, ...], found: list[ErrorDetails]) -> bool:
    return any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in found)


def _literals(detail: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']*)'", detail.get("ctx", {}).get("expected", ""))


def _keys(block: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys of the block that stands at `path` under `block`, as a recipe writes them."""
    fields = _fields(block)
    for step in path:
        if not isinstance(step, str) or step not in fields:
            continue  # an index into a list, or the name of a union's member
        inner = _block_in(fields[step])
        fields = {} if inner is None else _fields(inner)
    return list(fields)


def _fields(block: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in block.model_fields.items()}


def _block_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _block_in(part)) is not None:
            return found
    return None
