"""What a classifier gets wrong, and whether it knows: the confusion matrix and the reliability of its scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support


@dataclass(frozen=True)
class Bin:
    """The answers whose score was from `low` to `high`: how many, their mean score, and the share that was right."""

    low: float
    high: float
    count: int
    score: float
    right: float


def is_classified(predictions: Sequence[Any]) -> bool:
    """Whether the predictions are scores by label."""
    return bool(predictions) and all(_is_scores(scores) for scores in predictions)


def details(predictions: Sequence[Mapping[str, float]], truth: Sequence[str], bins: int) -> dict[str, Any]:
    """As JSON: the confusion matrix (a row for each true label), figures by label, and the reliability by bin."""
    labels = list(predictions[0])
    answers = [max(scores, key=scores.__getitem__) for scores in predictions]
    certain = np.array([scores[answer] for scores, answer in zip(predictions, answers, strict=True)])
    right = np.array([answer == label for answer, label in zip(answers, truth, strict=True)])
    precision, recall, f1, support = precision_recall_fscore_support(truth, answers, labels=labels, zero_division=0.0)
    return {
        "labels": labels,
        "confusion": confusion_matrix(truth, answers, labels=labels).tolist(),
        "by_label": {
            label: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
            for label, p, r, f, n in zip(labels, precision, recall, f1, support, strict=True)
        },
        "reliability": [asdict(one) for one in reliability(certain, right, bins)],
        "calibration_error": calibration_error(reliability(certain, right, bins)),
    }


def mistakes(
    predictions: Sequence[Mapping[str, float]], truth: Sequence[str], texts: Sequence[str]
) -> list[dict[str, Any]]:
    """The wrong answers, those first that the model was surest of: some of them are wrong labels."""
    found = []
    for scores, label, text in zip(predictions, truth, texts, strict=True):
        answer = max(scores, key=scores.__getitem__)
        if answer != label:
            found.append({"text": text, "label": label, "answer": answer, "score": scores[answer]})
    return sorted(found, key=lambda mistake: -mistake["score"])


def reliability(certain: Any, right: Any, bins: int) -> list[Bin]:
    """Bins of equal width from 0 to 1; those without an answer are left out."""
    place = np.minimum((certain * bins).astype(int), bins - 1)
    return [
        Bin(
            float(one / bins),
            float((one + 1) / bins),
            int((place == one).sum()),
            float(certain[place == one].mean()),
            float(right[place == one].mean()),
        )
        for one in np.unique(place)
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: how far scores are from what came true, over all answers."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.score - one.right) for one in bins) / total if total else 0.0


def _is_scores(scores: Any) -> bool:
    if not isinstance(scores, Mapping) or not scores:
        return False
    return all(isinstance(score, float) for score in scores.values())
