"""What whoever imports a model may say about it, over what the importers find out."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from storage.errors import InvalidArtifact
from storage.manifest import Batching, EngineSettings, TextSettings

_SECTIONS: Final[dict[str, type[BaseModel]]] = {"engine": EngineSettings, "batching": Batching, "text": TextSettings}
# These choose what is read; the others go into the manifest.
CHOICES: Final = ("model", "version", "variant")
_KEYS: Final = (*CHOICES, "task", *_SECTIONS, "cache_ttl_s", "description", "metrics", "provenance")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raises InvalidArtifact, with the nearest key there is, for one that is unknown."""
    for key, value in settings.items():
        _check_key(key, _KEYS, "")
        if (section := _SECTIONS.get(key)) is not None:
            if not isinstance(value, Mapping):
                raise InvalidArtifact(f"the setting '{key}' is a section: give it as {{...}}, not as {value!r:.40}")
            for inner in value:
                _check_key(inner, tuple(section.model_fields), f"{key}.")
            try:
                section.model_validate(value)
            except ValidationError as error:
                raise InvalidArtifact(told_plainly(error, f"{key}.")) from error
    for key in ("model", "task", "variant"):
        if key in settings and not isinstance(settings[key], str):
            raise InvalidArtifact(f"the setting '{key}' must be a string, not {settings[key]!r:.40}")


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


def told_plainly(error: ValidationError, prefix: str = "") -> str:
    """Every field that is wrong, and what is wrong with it, on one line."""
    wrong = [(".".join(map(str, part["loc"])), part["msg"].removeprefix("Value error, ")) for part in error.errors()]
    return "; ".join(f"{prefix}{where}: {what}" if where else what for where, what in wrong)


def _check_key(key: str, known: tuple[str, ...], prefix: str) -> None:
    if key in known:
        return
    near = get_close_matches(key, known, n=1, cutoff=0.0)[0]
    raise InvalidArtifact(
        f"unknown setting '{prefix}{key}': did you mean '{prefix}{near}'? There are"
        f" {', '.join(prefix + name for name in known)}"
    )
