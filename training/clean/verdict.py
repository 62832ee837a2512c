"""Why a row is dropped."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """`score` is what was compared with the recipe's limit; None where there is nothing to compare."""

    reason: str
    score: float | None
    detail: str


Rule = Callable[[str], Verdict | None]  # of a row's whole text; None where it may stay
