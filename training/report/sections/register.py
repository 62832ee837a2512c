"""Where the version is, and what the gates said."""

from collections.abc import Mapping

from training.report.content import Part, Section, Table, Text
from training.report.sections.tables import Outcome


def section(outcomes: Mapping[str, Outcome]) -> Section | None:
    """The version's place in the registry, and a line for each gate."""
    if "register" not in outcomes:
        return None
    found = outcomes["register"]
    where = f"{found['model']} version {found['version']} is {found['alias']}"
    promoted = f" and {found['promoted']}" if found["promoted"] else ""
    gates = [("holds" if gate["held"] else "FAILS", gate["line"]) for gate in found["gates"]]
    parts: list[Part] = [Table(("gate", "found"), gates)] if gates else []
    return Section("Registry", [Text(f"{where}{promoted}; digest {found['digest']}"), *parts])
