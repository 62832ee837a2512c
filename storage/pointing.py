"""What names a version, and how that changes: aliases with their history, and routes. Rows in memory, no queries."""

from collections.abc import Collection, Mapping
from typing import Final

from storage.errors import AliasInUse, InvalidAlias, InvalidRoute, NothingToRollBackTo, UnknownAlias, UnknownVersion
from storage.model_name import NAME
from storage.tables import Alias, Model, Route, Version

# What is added up must stay finite, and comparable with the smallest.
LARGEST_SHARE: Final = 1e9


def version_of(model: Model, reference: int | str) -> Version:
    """The version that `reference` names: a number or its digits, or an alias.

    Raises UnknownVersion, UnknownAlias.
    """
    if isinstance(reference, bool):
        raise UnknownVersion(f"{reference} is no version: name a number or an alias")
    if isinstance(reference, str) and not (reference.isdecimal() and len(reference) < 10):
        number = alias_of(model, reference).number
    else:
        number = int(reference)
    for version in model.versions:
        if version.number == number:
            return version
    there = ", ".join(str(version.number) for version in model.versions) or "none"
    raise UnknownVersion(f"no version {number} of {model.name!r}; it has {there}")


def alias_of(model: Model, name: str) -> Alias:
    """The model's alias `name`. Raises UnknownAlias."""
    for alias in model.aliases:
        if alias.name == name:
            return alias
    there = ", ".join(alias.name for alias in model.aliases) or "none"
    raise UnknownAlias(f"no alias {name!r} of {model.name!r}; it has {there}")


def point(model: Model, name: str, number: int) -> bool:
    """Point the alias at a version, remembering where it pointed; False if it was there. Raises InvalidAlias."""
    for alias in model.aliases:
        if alias.name == name:
            if alias.number == number:
                return False
            # A new list: a change inside the old one would go unnoticed and unsaved.
            alias.history = [*alias.history, alias.number]
            alias.number = number
            return True
    # Digits only would be taken for a version's number.
    if len(name) > 64 or not NAME.fullmatch(name) or name.isdecimal():
        raise InvalidAlias(f"{name!r} is no alias: 1 to 64 letters, digits, '.', '_' and '-', and not digits only")
    model.aliases.append(Alias(name=name, number=number, history=[]))
    return True


def point_back(model: Model, name: str) -> Alias:
    """Point the alias at the version that it had before. Raises UnknownAlias, NothingToRollBackTo."""
    alias = alias_of(model, name)
    if not alias.history:
        raise NothingToRollBackTo(
            f"alias {name!r} of {model.name!r} had no version before {alias.number}: promote another one instead"
        )
    alias.history, alias.number = alias.history[:-1], alias.history[-1]
    return alias


def unpoint(model: Model, name: str) -> int:
    """Take the alias away: the number that it named. Raises UnknownAlias, and AliasInUse where the route names it."""
    alias = alias_of(model, name)
    if model.route is not None and name in model.route.weights:
        raise AliasInUse(
            f"alias {name!r} of {model.name!r} has a share of the route: end the sharing first (weights: null), or give"
            " the share to another"
        )
    model.aliases.remove(alias)
    return alias.number


def route(model: Model, weights: Mapping[str, float] | None) -> None:
    """Give the model this route, or none. Raises InvalidRoute, UnknownVersion, UnknownAlias."""
    if weights is None:
        model.route = None
        return
    shares = weights.values()
    if any(isinstance(share, bool) or not 0 <= share <= LARGEST_SHARE for share in shares) or not any(shares):
        raise InvalidRoute
    numbers = {target: version_of(model, target).number for target in weights}
    if model.route is None:
        model.route = Route()
    model.route.weights = {
        str(numbers[target]) if target.isdecimal() else target: share for target, share in weights.items()
    }


def users(model: Model, number: int, proven: Collection[str]) -> list[str]:
    """What names the version, for people to read: "alias stable", "the route".

    `proven` are the digests of the model's versions that some worker has loaded once.
    """
    aliases = {alias.name for alias in model.aliases if alias.number == number}
    routed = model.route is not None and not model.route.weights.keys().isdisjoint(aliases | {str(number)})
    standing_in = number in _stand_ins(model, proven)
    return [
        *(f"alias {name}" for name in sorted(aliases)),
        *["the route"] * routed,
        *["standing in for a version that failed or has not been loaded yet"] * standing_in,
    ]


def _stand_ins(model: Model, proven: Collection[str]) -> set[int]:
    """The numbers that answer for aliases whose own version cannot, or has yet to show that it can: for each, the
    newest before it that did not fail, or that has been loaded."""
    sound = {version.number for version in model.versions if version.failure is None}
    loaded = {version.number for version in model.versions if version.number in sound and version.digest in proven}
    found: set[int] = set()
    for alias in model.aliases:
        if alias.number not in loaded:
            able = loaded if alias.number in sound else sound
            found |= set([number for number in alias.history if number in able][-1:])
    return found


def forget(model: Model, version: Version) -> None:
    """Take the version from the model and from what its aliases would roll back to."""
    model.versions.remove(version)
    for alias in model.aliases:
        kept: list[int] = []
        for number in alias.history:
            if number != version.number and kept[-1:] != [number]:
                kept.append(number)
        # Rolling back to where the alias already points would change nothing.
        alias.history = kept[:-1] if kept[-1:] == [alias.number] else kept
