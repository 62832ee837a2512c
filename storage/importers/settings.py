"""What whoever imports a model may say about it, over what the importers find out."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from storage.errors import InvalidArtifact
from storage.manifest import Batching, EngineSettings, Task, TextSettings

_SECTIONS: Final[dict[str, type[BaseModel]]] = {"engine": EngineSettings, "batching": Batching, "text": TextSettings}
# What the importers alone can say.
_FOUND: Final = ("reason",)
# These choose what is read; the others go into the manifest.
CHOICES: Final = ("model", "version", "variant")
_KEYS: Final = (*CHOICES, "task", *_SECTIONS, "cache_ttl_s", "description", "metrics", "provenance")


def check_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, in which a text that stands for a list has become one: `cuda,cpu`, or `cuda` alone.

    Raises InvalidArtifact, with the nearest key there is, for one that is unknown, and for a value that does not fit.
    """
    found = {key: _with_lists(_SECTIONS.get(key), value) for key, value in settings.items()}
    _check(found)
    return found


def _with_lists(section: type[BaseModel] | None, value: Any) -> Any:
    if section is None or not isinstance(value, Mapping):
        return value
    return {key: _list(inner) if key in _lists_of(section) else inner for key, inner in value.items()}


def _lists_of(section: type[BaseModel]) -> set[str]:
    return {name for name, told in section.model_fields.items() if get_origin(told.annotation) is tuple}


def _list(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    inner = value[1:-1] if value[:1] == "[" and value[-1:] == "]" else value
    return [part.strip().strip("'\"") for part in inner.split(",") if part.strip()]


def _check(settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        _check_key(key, _KEYS, "")
        if (section := _SECTIONS.get(key)) is not None:
            if not isinstance(value, Mapping):
                raise InvalidArtifact(f"the setting '{key}' is a section: give it as {{...}}, not as {value!r:.40}")
            for inner in value:
                _check_key(inner, tuple(name for name in section.model_fields if name not in _FOUND), f"{key}.")
            try:
                section.model_validate(value)
            except ValidationError as error:
                raise InvalidArtifact(explain_errors(error, f"{key}.")) from error
    for key in ("model", "task", "variant"):
        if key in settings and not isinstance(settings[key], str):
            raise InvalidArtifact(f"the setting '{key}' must be a string, not {settings[key]!r:.40}")
    if "task" in settings:
        try:
            TypeAdapter(Task).validate_python(settings["task"])
        except ValidationError as error:
            raise InvalidArtifact(f"task: {explain_errors(error)}") from error


def refuse_choice(settings: Mapping[str, Any], key: str, where: str) -> None:
    """Raises InvalidArtifact where `settings` chooses by `key` what this kind of source leaves no choice of."""
    if key in settings:
        raise InvalidArtifact(f"the setting '{key}' means nothing here: it is for {where}")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` on top, section by section."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def explain_errors(error: ValidationError, prefix: str = "") -> str:
    """Every field that is wrong, and what is wrong with it, on one line."""
    wrong = [(".".join(map(str, part["loc"])), _message(part)) for part in error.errors()]
    return "; ".join(f"{prefix}{where}: {what}" if where else what for where, what in wrong)


def _message(part: Any) -> str:
    if part["type"] == "tuple_type":
        return f'it must be a list such as ["a", "b"], or a,b on the command line, not {part["input"]!r:.40}'
    return str(part["msg"]).removeprefix("Value error, ")


def _check_key(key: str, known: tuple[str, ...], prefix: str) -> None:
    if key in known:
        return
    near = get_close_matches(key, known, n=1)
    told = f"did you mean '{prefix}{near[0]}'? There are" if near else "there are"
    raise InvalidArtifact(f"unknown setting '{prefix}{key}': {told} {', '.join(prefix + name for name in known)}")
