"""A text in another language and back: the same said in other words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from training.augment.pivot import pivot
from training.recipe.augment import TextParams
from training.tasks.source import locate


class BackTranslation:
    """From `language` to the pivot and back, with the most likely of `copies` ways to say it."""

    def __init__(self, language: str, params: TextParams, beside: Path) -> None:
        self._params = params
        self.pivot = pivot(language, params)
        self._there = _Translator(params.models[f"{language}-{self.pivot}"], params, beside)
        self._back = _Translator(params.models[f"{self.pivot}-{language}"], params, beside)

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        """For each text its copies."""
        there = [found[0] for found in self._there(texts, 1)]
        return self._back(there, self._params.copies)


class _Translator:
    def __init__(self, source: str, params: TextParams, beside: Path) -> None:
        self._params = params
        located = locate(source, beside)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(located)
        model: Any = AutoModelForSeq2SeqLM.from_pretrained(located)
        self._model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")

    def __call__(self, texts: Sequence[str], copies: int) -> list[list[str]]:
        found: list[list[str]] = [[] for _ in texts]
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # so that little is padded
        for at in range(0, len(order), self._params.batch_size):
            picked = order[at : at + self._params.batch_size]
            lines = self._translate([texts[index] for index in picked], copies)
            for place, index in enumerate(picked):
                found[index] = lines[place * copies : (place + 1) * copies]
        return found

    def _translate(self, texts: Sequence[str], copies: int) -> list[str]:
        limit = self._params.max_length
        batch = self._tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        with torch.inference_mode():
            tokens = self._model.generate(
                **batch.to(self._model.device),
                num_beams=max(self._params.beams, copies),
                num_return_sequences=copies,
                max_new_tokens=limit,
                do_sample=False,
            )
        lines: list[str] = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [line.strip() for line in lines]
