"""How near two vectors are, in the ways that sentence-transformers has: the larger, the nearer."""

from array import array
from collections.abc import Callable, Mapping
from math import dist, sqrt
from operator import mul, sub
from typing import Final


def _dot(one: "array[float]", other: "array[float]") -> float:
    total: float = sum(map(mul, one, other))
    return total


def _cosine(one: "array[float]", other: "array[float]") -> float:
    length = sqrt(_dot(one, one) * _dot(other, other))
    return _dot(one, other) / length if length else 0.0


def _euclidean(one: "array[float]", other: "array[float]") -> float:
    return -dist(one, other)


def _manhattan(one: "array[float]", other: "array[float]") -> float:
    total: float = sum(map(abs, map(sub, one, other)))
    return -total


COMPARE: Final[Mapping[str, Callable[["array[float]", "array[float]"], float]]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}
