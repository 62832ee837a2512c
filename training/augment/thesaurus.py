"""Which words of a language may stand for which."""

from abc import ABC, abstractmethod
from random import Random


class Thesaurus(ABC):
    """One file for each language."""

    @abstractmethod
    def pieces(self, text: str) -> list[str]:
        """The text's words and what stands between them; together they are the text."""

    @abstractmethod
    def is_word(self, piece: str) -> bool:
        """Whether it counts as one."""

    @abstractmethod
    def synonyms(self, word: str) -> tuple[str, ...]:
        """What may stand in its place, in a fixed order; nothing where that could change what is said."""

    def replace(self, text: str, ratio: float, random: Random) -> str:
        """The text with `ratio` of its words replaced, one at least, as far as there are synonyms for them."""
        pieces = self.pieces(text)
        places = [at for at, piece in enumerate(pieces) if self.synonyms(piece)]
        wanted = max(1, round(ratio * sum(map(self.is_word, pieces))))
        for at in random.sample(places, min(wanted, len(places))):
            pieces[at] = random.choice(self.synonyms(pieces[at]))
        return "".join(pieces)
