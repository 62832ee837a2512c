"""loadtests/results/README.md: every benchmark's figures in one table, beside what they are held to."""

from pathlib import Path

from loadtests.results import FOLDER, Figure, Result, Table, read_all

HEAD = """# What was measured

Written by `python -m loadtests` (`make bench`), one JSON file beside this one for each benchmark, with every round.
Server, peers and load generator share the cores. Contenders took turns in each round; ratios are of medians over the
rounds, those of `by_turns` the median of the rounds' ratios. docs/load-tests.md says what each benchmark is.
"""
HEADINGS = ("| What | Measured | Target | Met | Notes |", "| --- | ---: | ---: | --- | --- |")


def render() -> Path:
    """Write the table from the results that are there; its path."""
    path = FOLDER / "README.md"
    path.write_text(markdown(read_all()))
    return path


def markdown(results: list[Result]) -> str:
    """The page: the machine, what falls short, then each benchmark's table."""
    parts = [HEAD, *_machines(results), _shortfalls(results)]
    return "\n".join([*parts, *(_section(found) for found in results)])


def _machines(results: list[Result]) -> list[str]:
    """Usually one; as many as the results came from otherwise."""
    lines: dict[str, list[str]] = {}
    for found in results:
        on = found["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in on["versions"].items())
        line = (
            f"Machine: {on['cpu']}, {on['cores']} cores, {on['memory_gb']:g} GB; {on['kernel']};"
            f" Python {on['python']}; {versions}."
        )
        lines.setdefault(line, []).append(found["name"])
    if len(lines) < 2:
        return [f"{line}\n" for line in lines]
    return [f"{line} ({', '.join(names)})\n" for line, names in lines.items()]


def _shortfalls(results: list[Result]) -> str:
    short = [
        f"- {found['name']}: {figure['what']} is {_number(figure)}, the target is {figure['target']}"
        for found in results
        for figure in found["figures"]
        if figure["met"] is False
    ]
    return "\n".join(["What falls short:\n", *short, ""]) if short else "Every target that was measured is met.\n"


def _section(found: Result) -> str:
    rows = [
        f"| {figure['what']} | {_number(figure)} | {figure['target'] or ''} | {_met(figure)} |"
        f" {'; '.join(figure['notes'])} |"
        for figure in found["figures"]
    ]
    peers = found["rounds"].get("peers")
    versions = f" Peers: {', '.join(f'{name} {version}' for name, version in peers.items())}." if peers else ""
    return "\n".join(
        [
            f"## {found['name']}\n",
            f"{found['about']}. `{found['command']}`, {found['date']}.{versions}\n",
            *(_table(table) if (table := found.get("table")) else [*HEADINGS, *rows]),
            "",
        ]
    )


def _table(table: Table) -> list[str]:
    lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]


def _number(figure: Figure) -> str:
    value = figure["value"]
    return f"{value:,.0f} {figure['unit']}" if abs(value) >= 1000 else f"{value:,.2f} {figure['unit']}"


def _met(figure: Figure) -> str:
    return "" if figure["met"] is None else "yes" if figure["met"] else "**no**"
