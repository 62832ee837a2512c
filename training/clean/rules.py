"""The first stage: what can be said of a row without a model that was trained for it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.clean import duplicates
from training.clean.mojibake import find_unreadable, repair
from training.clean.personal import make_mask
from training.clean.texts import Row, is_misplaced, join_text, rewrite
from training.clean.verdict import Rule, Verdict
from training.clean.wording import block_rule, language_rule, length_rule, read_phrases
from training.data.compared import Compared
from training.recipe.clean import Rules


@dataclass
class Ruled:
    """All rows as they were rewritten, by their place; which of them are dropped; what else was done or seen."""

    rows: dict[int, Row]
    dropped: dict[int, Verdict] = field(default_factory=dict)
    repaired: int = 0
    masked: int = 0
    masks: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0  # rows

    @property
    def kept(self) -> dict[int, Row]:
        """Those that are not dropped."""
        return {index: row for index, row in self.rows.items() if index not in self.dropped}

    def counts(self) -> dict[str, Any]:
        """For the report."""
        return {
            "repaired_rows": self.repaired, "masked_rows": self.masked, "masks": dict(self.masks),
            "conflicting_rows": self.conflicts,
        }  # fmt: skip


def wording_rules(rules: Rules, beside: Path) -> list[Rule]:
    """The rules on the wording of a text. Raises RecipeError where they cannot be followed."""
    phrases = [*rules.block_list, *(read_phrases(beside / rules.block_file) if rules.block_file else ())]
    found = [length_rule(rules.length)] if rules.length else []
    found += [language_rule(rules.language)] if rules.language else []
    return found + ([block_rule(phrases)] if phrases else [])


def mask(rows: Sequence[Row], columns: Sequence[str], rules: Rules) -> Ruled:
    """Rows that the model is judged by: of all rules only the masks are for them.

    They go further than this machine: into the artifact as golden answers, into reports, to the version that serves.
    """
    ruled = Ruled(dict(enumerate(rows)))
    _rewrite(ruled, columns, rules.model_copy(update={"mojibake": None}))
    return ruled


def apply(
    rows: Sequence[Row],
    held_out: Mapping[str, Iterable[Row]],
    columns: Sequence[str],
    rules: Rules,
    beside: Path,
    compared: Compared,
) -> Ruled:
    """Rewrite what is rewritten, and drop what breaks a rule; `held_out` are the other splits' rows."""
    ruled = Ruled(dict(enumerate(rows)))
    _rewrite(ruled, columns, rules)
    judges = wording_rules(rules, beside)
    for index, row in ruled.kept.items():
        text = join_text(row, columns)
        if verdict := next(filter(None, (judge(text) for judge in judges)), None):
            ruled.dropped[index] = verdict
    contradicted = duplicates.conflicts(ruled.kept, compared)
    ruled.conflicts = len(contradicted)
    if rules.conflicts == "drop":
        ruled.dropped.update(contradicted)
    if rules.duplicates:
        ruled.dropped.update(duplicates.find_held_out(ruled.kept, held_out, compared))
        ruled.dropped.update(duplicates.duplicates(ruled.kept, compared))
    # A table has text only in what was taken along.
    if rules.near_duplicates and (texts := [name for name in columns if name in compared.own]):
        ruled.dropped.update(duplicates.near_duplicates(ruled.kept, texts, rules.near_duplicates, compared))
    return ruled


def _rewrite(ruled: Ruled, columns: Sequence[str], rules: Rules) -> None:
    """Repair, then mask: repair makes plain what would not be recognised, and what is dropped is masked too."""
    masks = make_mask(rules.personal_data, rules.phone_regions)
    for index, row in ruled.rows.items():
        mended = rewrite(row, columns, repair) if rules.mojibake else row
        shown = mended if rules.mojibake == "repair" else row
        masked = rewrite(shown, columns, masks)
        ruled.rows[index] = masked
        ruled.repaired += shown != row
        ruled.masked += masked != shown
        for kind in rules.personal_data:
            ruled.masks[kind] += join_text(masked, columns).count(f"[{kind}]") - join_text(shown, columns).count(
                f"[{kind}]"
            )
        if rules.mojibake and (verdict := find_unreadable(join_text(shown, columns))):
            ruled.dropped[index] = verdict
        elif rules.mojibake == "drop" and mended != row:
            ruled.dropped[index] = Verdict("mojibake", 1.0, "was decoded with the wrong encoding")
        elif is_misplaced(masked):
            ruled.dropped[index] = Verdict("answer-misplaced", None, "its answer is not found in its context")
