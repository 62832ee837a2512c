"""What was made of the training rows."""

from collections.abc import Mapping
from typing import Any, Final

from training.report.content import Lines, Part, Section, Table, Text, number
from training.report.sections.tables import Outcome

_SHOWN: Final = 200  # characters of an example


def section(outcomes: Mapping[str, Outcome]) -> Section | None:
    """How many rows each method made, and the first ones, to be read by a person."""
    if "augment" not in outcomes:
        return None
    found = outcomes["augment"]
    texts, images = dict(found.get("text", {})), found.get("image")
    language = texts.pop("language", None)
    said = f"{found['rows']['before']:,} training rows became {found['rows']['after']:,}."
    rows = [("text", name, number(of["made"]), number(of["unchanged_rows"])) for name, of in texts.items()]
    if images is not None:
        rows.append(("image", ", ".join(images["methods"]), number(images["made"]), ""))
    parts: list[Part] = [
        Text(said if language is None else f"{said} The language of the texts: {language}."),
        Table(("of", "method", "rows made", "rows it left unchanged"), rows),
    ]
    if left := found.get("left_out"):
        parts.append(Text(f"{left} was left out: the rows have nothing for it."))
    for name, of in texts.items():
        if of["examples"]:
            parts += [Text(f"Of {name.replace('_', ' ')}:"), Lines([_example(one) for one in of["examples"]])]
    return Section("Augmentation", parts)


def _example(one: Mapping[str, Any]) -> str:
    return f"{one['before'][:_SHOWN]} → {one['after'][:_SHOWN]}"
