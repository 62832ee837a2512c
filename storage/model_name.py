"""What a model may be called."""

import re
from typing import Final

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# What paths of the API have where a model's name stands, or right behind it: `/v2/models/stats` would be two things,
# and a request that lost its model's name on the way, `/v2/models//infer`, would be taken for one to another model.
RESERVED: Final = frozenset(("infer", "load", "ready", "stats", "unload", "versions"))


def check_name(name: str) -> str:
    """`name`, if it may name a model; ValueError otherwise."""
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no model name: letters, digits, '.', '_' and '-', starting with one of the first two"
        )
    return name


def check_new_name(name: str) -> str:
    """`name`, if a model may be made by that name; ValueError otherwise."""
    if name in RESERVED:
        raise ValueError(
            f"no model can be called {name!r}, as paths of the API use that word: name it otherwise (reserved are"
            f" {', '.join(sorted(RESERVED))})"
        )
    return check_name(name)
