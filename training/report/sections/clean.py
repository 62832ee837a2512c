"""Which training rows were dropped by which stage, what was masked, and how far the judges are to be trusted."""

from collections.abc import Iterator, Mapping
from typing import Final

from training.report import plots
from training.report.content import Part, Section, Table, Text, number
from training.report.sections.tables import Outcome

STAGES: Final = ("rules", "semantic", "hard")


def section(outcomes: Mapping[str, Outcome]) -> Section | None:
    """As far as the recipe has the stages."""
    if "clean" not in outcomes:
        return None
    found = outcomes["clean"]
    before, after = found["rows"]["before"], found["rows"]["after"]
    parts: list[Part] = [Text(f"Of {before:,} training rows {after:,} are left.")]
    if found["dropped"]:
        reasons = [
            (stage, reason, number(count))
            for stage in STAGES
            for reason, count in found.get(stage, {}).get("dropped", {}).items()
        ]
        parts.append(Table(("stage", "reason", "training rows dropped"), reasons))
        parts.append(plots.bars("Rows dropped by clean", found["dropped"], "training rows"))
    if "rules" in found:
        parts += _rules(found["rules"], found["held_out"])
    if "semantic" in found:
        parts.append(_semantic(found["semantic"]))
    if "hard" in found:
        parts += _hard(found["hard"])
    return Section("Cleaning", parts)


def _rules(rules: Outcome, held_out: Mapping[str, Outcome]) -> Iterator[Part]:
    yield Text(
        f"Training rows whose encoding was repaired: {rules['repaired_rows']:,}; with a text that others have with "
        f"another label: {rules['conflicting_rows']:,}."
    )
    if kinds := list(rules["masks"]):
        yield Text("Personal data masked, in rows of every split, those that were dropped among them:")
        yield Table(
            ("split", "rows with masks", *kinds),
            [
                (split, number(of["masked_rows"]), *(number(of["masks"].get(kind, 0)) for kind in kinds))
                for split, of in {"train": rules, **held_out}.items()
            ],
        )
    for split, of in held_out.items():
        for reason, count in of["dropped"].items():
            yield Text(f"Dropped of the {split} rows, as a mask went through their answer: {count:,} ({reason})")


def _semantic(found: Outcome) -> Text:
    learnt, good = found["sample_rows"], found["sample_good"]
    return Text(
        f"The judge of quality learnt from {learnt:,} marked texts, of which {good:,} are good. On those it had not "
        f"seen, the area under its ROC curve is {found['roc_auc']:.4g} (0.5 is a guess, 1 is never wrong) and its "
        f"accuracy {found['accuracy']:.4g}."
    )


def _hard(found: Outcome) -> Iterator[Part]:
    low, high = found["bounds"]
    yield Text(f"Perplexity: the median is {number(found['median'])}, the middle {number(low)} to {number(high)}.")
    bands = [(band, number(found["rows"].get(band, 0))) for band in ("low", "medium", "high")]
    yield Table(("perplexity", "training rows"), bands)
