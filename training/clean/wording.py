"""What a row's text says of itself: its length, its language, the words that it may not have."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from training.clean.verdict import Rule, Verdict
from training.recipe.block import RecipeError
from training.recipe.clean import Language, Length

HAN: Final = "\u3400-\u9fff\uf900-\ufaff"
_LETTER: Final = rf"[^\W{HAN}]"  # of a script that puts spaces between words


def length_rule(limits: Length) -> Rule:
    """Drops what is too short or too long, in characters."""

    def judge(text: str) -> Verdict | None:
        count = len(text.strip())
        if count < limits.min:
            return Verdict("too-short", count, f"{count} characters, fewer than {limits.min}")
        if limits.max is not None and count > limits.max:
            return Verdict("too-long", count, f"{count} characters, more than {limits.max}")
        return None

    return judge


def language_rule(wanted: Language) -> Rule:
    """Drops what is surely in another language. Raises RecipeError for a language that cannot be told."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if unknown := sorted(set(wanted.allowed) - set(identifier.labels)):
        raise RecipeError(
            f"clean.rules.language.allowed: {unknown[0]!r} cannot be told; there are {', '.join(identifier.labels)}"
        )

    def judge(text: str) -> Verdict | None:
        language, probability = identifier.classify(text)
        if language in wanted.allowed or probability < wanted.certainty:
            return None
        return Verdict("language", round(probability, 4), f"{language}, not {' or '.join(wanted.allowed)}")

    return judge


def block_rule(phrases: Sequence[str]) -> Rule:
    """Drops what has one of the words or phrases, whatever its case; in scripts with spaces as whole words."""
    pattern = re.compile("|".join(_bound(phrase) for phrase in phrases), re.IGNORECASE)

    def judge(text: str) -> Verdict | None:
        found = pattern.search(text)
        return None if found is None else Verdict("block-list", None, f"has {found[0]!r}")

    return judge


def read_phrases(path: Path) -> list[str]:
    """A block list's file: one word or phrase a line. Raises RecipeError where it can't be read or has none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"clean.rules.block_file: {path} can't be read: {error}") from error
    phrases = [line.strip() for line in lines if line.strip()]
    if not phrases:
        raise RecipeError(f"clean.rules.block_file: {path} has no line with a word")
    return phrases


def _bound(phrase: str) -> str:
    before = rf"(?<!{_LETTER})" if re.match(_LETTER, phrase[0]) else ""
    after = rf"(?!{_LETTER})" if re.match(_LETTER, phrase[-1]) else ""
    return before + re.escape(phrase) + after
