"""What the tasks share that choose one of several classes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from training.recipe.block import RecipeError

if TYPE_CHECKING:
    from datasets import DatasetDict

    from training.recipe.recipe import Recipe

METRICS: Final = ("accuracy", "f1", "log_loss", "calibration_error")  # of `measure_classes`
_BINS: Final = 10

Scores = Mapping[str, float]  # of each label, adding up to one


def labels_of(rows: "DatasetDict", recipe: "Recipe", column: str = "label") -> tuple[str, ...]:
    """The recipe's labels, or those of the training rows, sorted.

    Raises RecipeError where there are fewer than two, or a split has one that is not among them.
    """
    labels = find_labels({name: set(split.unique(column)) for name, split in rows.items()}, recipe)
    if len(labels) < 2:
        raise RecipeError(f"datasets: a classifier needs two labels or more, '{column}' has {', '.join(labels)}")
    return labels


def find_labels(found: Mapping[str, set[str]], recipe: "Recipe") -> tuple[str, ...]:
    """The recipe's labels, or those `found` in the training rows, sorted.

    Raises RecipeError where a split has one that is not among them.
    """
    labels = recipe.model.labels or tuple(sorted(found["train"]))
    for name, those in found.items():
        if unknown := those - set(labels):
            raise RecipeError(f"datasets: the {name} rows have labels {sorted(unknown)}, the model's are {labels}")
    return labels


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """FP64 probabilities of logits `[..., classes]`."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def score(logits: NDArray[Any], labels: Sequence[str]) -> list[Scores]:
    """The scores of each row of logits `[rows, classes]`."""
    return [dict(zip(labels, row, strict=True)) for row in softmax(logits).tolist()]


def best(scores: Scores) -> str:
    """The likeliest label; the first of those that are equally likely."""
    return max(scores, key=scores.__getitem__)


def measure_classes(predictions: Sequence[Scores], truth: Sequence[str]) -> dict[str, float]:
    """Accuracy, F1 as the mean over the classes, log loss, and the expected calibration error over ten bins."""
    from sklearn.metrics import f1_score

    answers = [best(scores) for scores in predictions]
    right = np.array([answer == label for answer, label in zip(answers, truth, strict=True)])
    certain = np.array([scores[answer] for scores, answer in zip(predictions, answers, strict=True)])
    likelihood = np.array([scores[label] for scores, label in zip(predictions, truth, strict=True)])
    return {
        "accuracy": float(right.mean()),
        "f1": float(f1_score(truth, answers, average="macro", zero_division=0.0)),
        "log_loss": float(-np.log(np.maximum(likelihood, 1e-15)).mean()),
        "calibration_error": _calibration_error(certain, right),
    }


def _calibration_error(certain: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """By how much certainty and accuracy differ in a bin of equal certainty, on average over the rows."""
    bins = np.minimum((certain * _BINS).astype(int), _BINS - 1)
    gaps = [abs(certain[bins == one].sum() - right[bins == one].sum()) for one in np.unique(bins)]
    return float(sum(gaps) / len(certain))
