"""Reads WordNet's database, as wndb(5) describes it: which words share a meaning, and how often each is meant."""

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from training.recipe.block import RecipeError

DEBIAN: Final = Path("/usr/share/wordnet")
_FILES: Final = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
# Of a sense's key, the digit after %: an adjective that leans on another one is an adjective.
_PARTS: Final = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
_MARKER: Final = re.compile(r"\((?:a|p|ip)\)$")  # where an adjective may stand


@dataclass(frozen=True)
class Meaning:
    """`count` is how often the word has it in the texts that WordNet's authors went through; `words` all have it."""

    count: int
    words: tuple[str, ...]


class WordNet:
    """The database in `folder`, the one that Debian installs unless given. Raises RecipeError where there is none."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or DEBIAN
        if not (self._folder / "index.noun").is_file():
            raise RecipeError(
                f"augment.text_augment: synonym_replacement needs WordNet's database for English, and {self._folder} "
                "has none: install Debian's wordnet-base, or name its folder in params: 'wordnet'"
            )

    def meanings(self, word: str) -> list[Meaning]:
        """Of a word in its base form and in lower case, as noun, verb, adjective and adverb."""
        return [
            Meaning(self._counts.get((word, part, number), 0), self._words(part, offset))
            for part, offsets in self._senses.get(word, ())
            for number, offset in enumerate(offsets, 1)
        ]

    @cached_property
    def _senses(self) -> dict[str, list[tuple[str, list[int]]]]:
        """Of each word and part of speech, where in the data its meanings stand, the first sense first."""
        found: defaultdict[str, list[tuple[str, list[int]]]] = defaultdict(list)
        for part, name in _FILES.items():
            for line in (self._folder / f"index.{name}").read_text(encoding="ascii").splitlines():
                if not line.startswith(" "):  # the licence
                    word, _, count, *rest = line.split()
                    found[word].append((part, [int(offset) for offset in rest[-int(count) :]]))
        return dict(found)

    @cached_property
    def _counts(self) -> dict[tuple[str, str, int], int]:
        found = {}
        for line in (self._folder / "cntlist.rev").read_text(encoding="ascii").splitlines():
            key, number, count = line.split()
            word, _, sense = key.partition("%")
            found[word, _PARTS[sense[0]], int(number)] = int(count)
        return found

    @cached_property
    def _data(self) -> dict[str, bytes]:
        return {part: (self._folder / f"data.{name}").read_bytes() for part, name in _FILES.items()}

    def _words(self, part: str, offset: int) -> tuple[str, ...]:
        data = self._data[part]
        fields = data[offset : data.index(b"\n", offset)].decode("ascii").split()
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        return tuple(_MARKER.sub("", word).replace("_", " ") for word in words)
