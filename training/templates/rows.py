"""Which small real rows each template is tried on: functions of how many are wanted at most."""

from collections.abc import Callable, Mapping
from typing import Final

from training.templates import docstrings, images, sounds, stamps, tables, texts
from training.templates.files import Rows

ROWS: Final[Mapping[str, Callable[[int], Rows]]] = {
    "text-classification": texts.labelled,
    "pair-classification": texts.duels,
    "token-classification": texts.capitals,
    "question-answering": texts.ends,
    "embedding": texts.halves,
    "reranking": texts.tweeted,
    "zero-shot": texts.topics,
    "masked-lm": texts.plain,
    "causal-lm": texts.plain,
    "chat": texts.verdicts,
    "dpo": texts.preferences,
    "summarisation": docstrings.summarised,
    "translation": stamps.in_french,
    "image-classification": images.digits,
    "object-detection": images.boxes,
    "image-segmentation": images.masks,
    "image-embedding": images.digits,
    "image-captioning": images.captioned,
    "audio-classification": sounds.languages,
    "speech-recognition": sounds.spoken,
    "tabular-classification": tables.tumours,
    "tabular-regression": tables.diabetes,
    "forecasting": tables.heights,
}
