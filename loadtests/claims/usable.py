"""Which rows are of use: one of each text, with a label that nothing speaks against.

The stage that cleans is not asked, which would find all that it kept of use: repeated texts and contradictions are
looked up, and labels are doubted by cleanlab, with a classifier that no stage of cleaning knows.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from training.data.canonical import LABEL, row_id

Row = Mapping[str, Any]


def judge(rows: Sequence[Row], wrong: Iterable[str]) -> list[str]:
    """What is wrong with each row: `contradicted`, `doubted`, or else `repeated`; nothing where it is of use.

    `wrong` are the ids of rows whose label is taken for an error.
    """
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        labels[row_id(row)].add(row[LABEL])
    doubted, seen, found = set(wrong), set[str](), []
    for row in rows:
        name = row_id(row)
        if len(labels[name]) > 1:
            found.append("contradicted")
        elif name in doubted:
            found.append("doubted")
        else:
            found.append("repeated" if name in seen else "")
        seen.add(name)
    return found


def share(verdicts: Sequence[str]) -> float:
    """Which part of the rows is of use."""
    return verdicts.count("") / len(verdicts)


def reasons(verdicts: Sequence[str]) -> dict[str, int]:
    """How many rows there are of each kind that are of no use."""
    return dict(Counter(filter(None, verdicts)).most_common())


def doubted(rows: Any, seed: int) -> set[str]:
    """The ids of those rows, each text being there once, whose label cleanlab takes for an error."""
    from cleanlab.filter import find_label_issues

    from training.annotate.quick import quick

    labels, probabilities = quick(rows, seed)
    numbers = {label: number for number, label in enumerate(labels)}
    wrong = find_label_issues(np.array([numbers[label] for label in rows[LABEL]]), probabilities, n_jobs=1)
    return {row_id(rows[index]) for index in np.flatnonzero(wrong).tolist()}
