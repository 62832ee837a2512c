"""What the tasks share whose models guess tokens: perplexity, and blocks of text."""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

IGNORED: Final = -100  # what the loss passes over
METRICS: Final[tuple[str, ...]] = ("perplexity", "loss", "token_accuracy")  # of `measure_guesses`
TEXT_METRICS: Final = ("bleu", "chrf", "rouge1", "rouge2", "rougeL")  # of evaluate's `measure_texts`


class Guessed(NamedTuple):
    """How well a row's tokens were guessed: their negative log likelihoods added up, how many, how many rightly."""

    loss: float
    tokens: int
    right: int


def guess(logits: NDArray[Any], labels: NDArray[np.int64]) -> Guessed:
    """Of logits `[length, vocabulary]` for labels `[length]`, at the places that are not ignored."""
    at = np.flatnonzero(labels != IGNORED)
    if not len(at):
        return Guessed(0.0, 0, 0)
    logits = logits[at].astype(np.float64)
    top = logits.max(axis=-1, keepdims=True)
    log_total = top[:, 0] + np.log(np.exp(logits - top).sum(axis=-1))
    loss = log_total - logits[np.arange(len(at)), labels[at]]
    return Guessed(float(loss.sum()), len(at), int((logits.argmax(-1) == labels[at]).sum()))


def answers_only(ids: Sequence[Sequence[int]], asked: Sequence[int]) -> list[list[int]]:
    """Labels for tokens of which the first `asked` of each row need not be guessed."""
    return [[IGNORED] * min(given, len(row)) + list(row[given:]) for row, given in zip(ids, asked, strict=True)]


def pad_labels(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """The labels of rows `[rows, length]`, the shorter ones with IGNORED behind them."""
    labels = np.full((len(rows), max(map(len, rows))), IGNORED, np.int64)
    for place, row in zip(labels, rows, strict=True):
        place[: len(row)] = row
    return labels


def measure_guesses(predictions: Sequence[Guessed]) -> dict[str, float]:
    """Perplexity, the loss in nats a token, and the part of the tokens that was guessed rightly."""
    tokens = max(sum(one.tokens for one in predictions), 1)
    loss = sum(one.loss for one in predictions) / tokens
    return {
        "perplexity": math.exp(min(loss, 700.0)),
        "loss": loss,
        "token_accuracy": sum(one.right for one in predictions) / tokens,
    }
