"""English synonyms, from WordNet."""

import re
from pathlib import Path
from typing import Final

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from training.augment.thesaurus import Thesaurus
from training.augment.wordnet import WordNet

_WORD: Final = re.compile(r"([^\W\d_]+(?:['\u2019-][^\W\d_]+)*)")


class English(Thesaurus):
    """Words in their base form, in their most frequent meaning, and only if that is most of what they mean.

    What is written with a capital, a name perhaps, is replaced by nothing. `folder` holds WordNet's database.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._wordnet = WordNet(folder)
        self._found: dict[str, tuple[str, ...]] = {}

    def pieces(self, text: str) -> list[str]:
        return _WORD.split(text)

    def is_word(self, piece: str) -> bool:
        return _WORD.fullmatch(piece) is not None

    def synonyms(self, word: str) -> tuple[str, ...]:
        if not word.islower() or word in ENGLISH_STOP_WORDS:
            return ()
        if word not in self._found:
            self._found[word] = self._look_up(word)
        return self._found[word]

    def _look_up(self, word: str) -> tuple[str, ...]:
        # Once more than counted: most words are not in the texts that were gone through.
        meanings = [(meaning.count + 1, meaning.words) for meaning in self._wordnet.meanings(word)]
        most, words = max(meanings, key=lambda meaning: meaning[0], default=(0, ()))
        if most <= sum(count for count, _ in meanings) / 2:
            return ()
        return tuple(other for other in words if other != word and other.islower())
