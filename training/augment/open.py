"""Opens the thesaurus of a language, with no more packages than that one needs."""

from pathlib import Path

from training.augment.thesaurus import Thesaurus
from training.recipe.block import RecipeError


def open_thesaurus(language: str, wordnet: Path | None) -> Thesaurus:
    """The language's. Raises RecipeError where there is none, or it isn't installed."""
    match language:
        case "en":
            from training.augment.english import English

            return English(wordnet)
        case "zh":
            from training.augment.chinese import Chinese

            return Chinese()
        case _:
            raise RecipeError(
                f"augment.text_augment: synonym_replacement has no thesaurus for {language!r}, only for en and zh; "
                "leave the method out, or say which 'language' in params if that isn't the texts'"
            )
