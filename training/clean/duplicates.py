"""Rows that are there more than once: the same, nearly the same, the same with another label, or held out."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from datasketch import MinHash, MinHashLSH

from training.clean.texts import Row, text_of
from training.clean.verdict import Verdict
from training.data.canonical import LABEL
from training.data.columns import one_label
from training.data.compared import Compared
from training.recipe.clean import NearDuplicates

_CHUNK: Final = 10_000
# Scripts without spaces: kana, Chinese characters, hangul.
_DENSE: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN: Final = re.compile(rf"[{_DENSE}]|[^\W_{_DENSE}]+")  # a character of those, or a word

Rows = Mapping[int, Row]  # by their place among the training rows


def conflicts(rows: Rows, compared: Compared) -> dict[int, Verdict]:
    """Rows that others contradict: the same input, another label, where the task knows one alone for an input."""
    if not one_label(compared.task):
        return {}
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, row in rows.items():
        groups[compared.question(row)].append(index)
    found: dict[int, Verdict] = {}
    for group in groups.values():
        labels = sorted({rows[index][LABEL] for index in group})
        if len(labels) > 1:
            why = Verdict("conflict", float(len(labels)), f"the same text is labelled {' and '.join(labels)}")
            found.update(dict.fromkeys(group, why))
    return found


def duplicates(rows: Rows, compared: Compared) -> dict[int, Verdict]:
    """All but the first of the rows that differ in case, spacing or Unicode form at most."""
    first: dict[str, int] = {}
    found: dict[int, Verdict] = {}
    for index, row in rows.items():
        at = first.setdefault(compared.row(row), index)
        if at != index:
            found[index] = Verdict("duplicate", 1.0, f"the same as row {at}")
    return found


def find_held_out(rows: Rows, splits: Mapping[str, Iterable[Row]], compared: Compared) -> dict[int, Verdict]:
    """Rows whose input is one that the model will be judged by: repaired and masked, they may have become it."""
    where = {compared.question(row): split for split, kept in splits.items() for row in kept}
    found: dict[int, Verdict] = {}
    for index, row in rows.items():
        split = where.get(compared.question(row))
        if split is not None:
            found[index] = Verdict("held-out", 1.0, f"the same as a row of {split}")
    return found


def near_duplicates(
    rows: Rows, columns: Sequence[str], block: NearDuplicates, compared: Compared
) -> dict[int, Verdict]:
    """Rows that are nearly the same as one before them that stays, in each of their text `columns`.

    MinHash says which to compare; they are then compared shingle by shingle, so that none is dropped that is further
    away than the threshold.
    """
    index = MinHashLSH(block.threshold, num_perm=block.permutations, weights=(0.1, 0.9))  # misses cost more
    shingles: dict[int, list[frozenset[str]]] = {}
    rest: dict[int, str] = {}
    found: dict[int, Verdict] = {}
    for at, own, sketch in _sketch(rows, columns, block):
        rest[at] = compared.but(rows[at], columns)
        best = max(
            ((_likeness(own, shingles[other]), -other) for other in index.query(sketch) if rest[other] == rest[at]),
            default=(0.0, 0),
        )
        if best[0] >= block.threshold:
            found[at] = Verdict("near-duplicate", round(best[0], 4), f"nearly the same as row {-best[1]}")
        else:
            shingles[at] = own
            index.insert(at, sketch)
    return found


def shingles_of(text: str, size: int) -> frozenset[str]:
    """Every `size` words or characters that follow each other; a shorter text is one shingle."""
    tokens = _TOKEN.findall(text.casefold()) or [text.strip()]
    return frozenset(" ".join(tokens[at : at + size]) for at in range(max(len(tokens) - size, 0) + 1))


def _sketch(
    rows: Rows, columns: Sequence[str], block: NearDuplicates
) -> Iterator[tuple[int, list[frozenset[str]], MinHash]]:
    indexes = list(rows)
    for begin in range(0, len(indexes), _CHUNK):
        chunk = indexes[begin : begin + _CHUNK]
        own = [[shingles_of(text_of(rows[at][name]), block.shingle) for name in columns] for at in chunk]
        tagged = [list(_tag(parts)) for parts in own]
        yield from zip(chunk, own, MinHash.bulk(tagged, num_perm=block.permutations), strict=True)


def _tag(parts: Sequence[frozenset[str]]) -> Iterator[bytes]:
    """The shingles of all columns, told apart by the column."""
    for number, shingles in enumerate(parts):
        for shingle in shingles:
            yield f"{number} {shingle}".encode("utf-8", "surrogatepass")


def _likeness(one: Sequence[frozenset[str]], other: Sequence[frozenset[str]]) -> float:
    """Jaccard's index of the column in which they differ most."""
    return min(len(a & b) / len(a | b) for a, b in zip(one, other, strict=True))
