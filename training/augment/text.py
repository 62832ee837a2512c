"""Texts in other words."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from training.augment.copies import Copy
from training.augment.open import open_thesaurus
from training.augment.pivot import pivot
from training.recipe.augment import TextAugment, TextParams
from training.recipe.block import RecipeError, nearest

# What a task is asked; what it answers stays in the words that it was given.
INPUTS: Final = ("text", "text_pair", "question", "source")
_SAMPLE: Final = 200  # rows whose language is found out

Rewrite = Callable[[Sequence[str], str], list[list[str]]]  # the texts of a column, its name; for each its copies


def columns_of(there: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The columns to rewrite. Raises RecipeError where there is none."""
    for name in wanted:
        if name not in there:
            raise RecipeError(f"augment.text_augment.params.columns: the rows have no {name!r}{nearest(name, there)}")
    found = tuple(wanted) or tuple(name for name in INPUTS if name in there)
    if not found:
        raise RecipeError(
            f"augment.text_augment: none of the columns {', '.join(there)} may be rewritten: leave the block out, or "
            "name a column of texts in params: 'columns'"
        )
    return found


def language_of(texts: Sequence[str]) -> str:
    """Of all of them together, as in ISO 639-1."""
    language: str = LanguageIdentifier.from_model_file(MODEL_FILE).classify("\n".join(texts[:_SAMPLE]))[0]
    return language


def methods(block: TextAugment, language: str, beside: Path, seed: int) -> dict[str, Rewrite]:
    """By name, each ready to work. Raises RecipeError for one that has no engine for the language."""
    check_engines(block, language, beside)
    found: dict[str, Rewrite] = {}
    for method in block.methods:
        match method:
            case "synonym_replacement":
                found[method] = _synonyms(block.params, language, beside, seed)
            case "back_translation":
                found[method] = _translations(block.params, language, beside)
    return found


def check_engines(block: TextAugment, language: str, beside: Path) -> None:
    """Raises RecipeError where one of the methods has none for the language."""
    if "synonym_replacement" in block.methods:
        open_thesaurus(language, _wordnet(block.params, beside))
    if "back_translation" in block.methods:
        pivot(language, block.params)


def copies(rows: Sequence[dict[str, Any]], columns: Sequence[str], rewrite: Rewrite) -> Iterator[Copy]:
    """Of each row those that came out different from it, and from each other."""
    ways = {name: rewrite([row[name] for row in rows], name) for name in columns}
    for index, row in enumerate(rows):
        seen = [tuple(row[name] for name in columns)]
        for texts in zip(*(ways[name][index] for name in columns), strict=True):
            if texts not in seen and all(text.strip() for text in texts):
                seen.append(texts)
                yield Copy(index, {**row, **dict(zip(columns, texts, strict=True))})


def _synonyms(params: TextParams, language: str, beside: Path, seed: int) -> Rewrite:
    thesaurus = open_thesaurus(language, _wordnet(params, beside))

    def rewrite(texts: Sequence[str], column: str) -> list[list[str]]:
        # Each place draws for itself: what is before it changes nothing.
        return [
            [
                thesaurus.replace(text, params.synonym_ratio, Random(f"{seed} {column} {place} {copy}"))
                for copy in range(params.copies)
            ]
            for place, text in enumerate(texts)
        ]

    return rewrite


def _translations(params: TextParams, language: str, beside: Path) -> Rewrite:
    from training.augment.back_translation import BackTranslation

    translate = BackTranslation(language, params, beside)
    return lambda texts, column: translate(texts)


def _wordnet(params: TextParams, beside: Path) -> Path | None:
    return None if params.wordnet is None else beside / params.wordnet
