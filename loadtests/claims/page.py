"""The tables of docs/claims.md, made of the results; the words around them are written by hand."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

Found = Mapping[str, Any]
Row = Sequence[Any]

_PLACE: Final = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->", re.DOTALL)
_ARMS: Final = {"full": "every weight", "lora": "LoRA"}


def fill(page: str, results: Mapping[str, Found]) -> str:
    """The page with the tables of each result in its place, `<!-- name -->` to `<!-- end -->`."""

    def filled(place: re.Match[str]) -> str:
        name = place[1]
        if name not in results:
            return place[0]
        return f"<!-- {name} -->\n{''.join(_tables(name, results[name]))}\n<!-- end -->"

    return _PLACE.sub(filled, page)


def percent(interval: Mapping[str, float], digits: int = 1) -> str:
    """A share and its interval."""
    value, low, high = (f"{100 * interval[end]:.{digits}f}" for end in ("value", "low", "high"))
    return f"{value}%" if low == high else f"{value}% ({low} to {high})"


def times(interval: Mapping[str, float]) -> str:
    """A factor and its interval."""
    return f"{interval['value']:.2f} x ({interval['low']:.2f} to {interval['high']:.2f})"


def table(heads: Row, rows: Iterable[Row]) -> str:
    """As Markdown, with all columns but the first to the right."""
    rules = ["---", *["---:"] * (len(heads) - 1)]
    return "\n" + "".join(f"| {' | '.join(map(str, row))} |\n" for row in (heads, rules, *rows))


def _tables(name: str, found: Found) -> Iterable[str]:
    machine = found["machine"]
    yield from _TABLES[name](found)
    yield (
        f"\n`{found['command']}`, {found['date']}, {machine['cores']} cores ({machine['cpu']}),"
        f"\n`OMP_NUM_THREADS`: {machine['threads']}, load average at the end {machine['load_average']:.1f},"
        f"\n{', '.join(f'{package} {number}' for package, number in machine['versions'].items())}.\n"
    )


def _memory(found: Found) -> Iterable[str]:
    heads = ("MB", "weights", "gradients", "optimizer", "together", "process at most", "without libraries")
    compared = found["compared"]
    cases = [(one["model"], name, one[name]) for one in compared for name in ("full", "lora")]
    yield table(heads, dict.fromkeys(_bytes(*case) for case in cases))  # each once
    yield table(
        ("LoRA needs less", "counted", "process at most", "without libraries"),
        (
            (
                f"{one['model']}, on {one['lora']['precision']} than all in {one['full']['precision']}",
                *(f"{percent(one['less'][kind])}: {one['verdict'][kind]}" for kind in one["less"]),
            )
            for one in compared
        ),
    )


def _bytes(model: str, arm: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    counted = [one["weights"], one["gradients"], one["optimizer"]]
    numbers = [*counted, sum(counted), one["peak"], one["peak"] - one["libraries"]]
    return (f"{model}, {_ARMS[arm]}, {one['precision']}", *(f"{number / 1e6:,.1f}" for number in numbers))


def _quality(found: Found) -> Iterable[str]:
    rates = {arm: found["rates"][arm]["chosen"] for arm in _ARMS}
    heads = [f"{metric}, {_ARMS[arm]}" for metric in ("accuracy", "log loss") for arm in _ARMS]
    yield table(
        ("seed", *heads),
        (
            (run["seed"], *(f"{run[arm][metric]:.4f}" for metric in ("accuracy", "log_loss") for arm in _ARMS))
            for run in found["runs"]
        ),
    )
    kept = found["kept"]
    yield table(
        ("LoRA keeps", "of full fine-tuning's"),
        (
            ("accuracy", f"{percent(kept['accuracy'])}: {found['verdict']}"),
            ("F1", percent(kept["f1"])),
            ("accuracy above the commonest label's share", percent(kept["above_chance"])),
        ),
    )
    trained = ", ".join(
        f"{_ARMS[arm]}: {found['runs'][0][arm]['trainable_parameters']:,} at a rate of {rate:g}"
        for arm, rate in rates.items()
    )
    yield f"\nTrained weights: {trained}.\n"


def _speed(found: Found) -> Iterable[str]:
    names = ("fp32", "int8")
    yield table(
        ("ms a call", "eager", *names, *(f"{name} against eager" for name in names)),
        (
            (
                f"{one['rows']}, threads: {one['threads']}",
                *(f"{1000 * one['times'][name]:.2f}" for name in ("eager", *names)),
                *(f"{times(one['faster'][name])}: {one['verdict'][name]}" for name in names),
            )
            for one in found["timed"]
        ),
    )
    lost = found["lost"]
    yield table(
        ("against eager", "accuracy, points", "log loss", "MB"),
        (
            (
                name,
                percent(lost[name]["accuracy"], 2),
                f"{lost[name]['log_loss']['value']:+.4f}",
                f"{found['bytes'][name] / 1e6:.1f}",
            )
            for name in names
        ),
    )
    before, after = found["load_average"]
    yield f"\nThe load average was {before:.2f} when the clock was started and {after:.2f} when it was stopped.\n"


def _cleaning(found: Found) -> Iterable[str]:
    yield table(
        ("usable", "raw", "cleaned", "points", "raised by"),
        (
            (
                kind,
                percent(one["raw"]),
                percent(one["cleaned"]),
                *(f"{percent(one[how])}: {one['verdict'][how]}" for how in ("points", "raised")),
            )
            for kind, one in found["usable"].items()
        ),
    )
    yield table(
        ("steps, raw / cleaned", *(f"seed {seed}" for seed in found["settings"]["seeds"]), "shorter by"),
        (
            (
                level,
                *(f"{raw} / {cleaned or 'never'}" for raw, cleaned in zip(*one["steps"].values(), strict=True)),
                f"{percent(one['shorter'])}: {one['verdict']}",
            )
            for level, one in found["convergence"].items()
        ),
    )
    least = {arm: f"{one['value']:.4f}" for arm, one in found["least_loss"].items()}
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in found["cleaning"]["dropped"].items())
    yield f"\nThe least held-out loss was {least['raw']} on raw rows, {least['cleaned']} on cleaned ones.\n"
    yield f"\nDropped were {dropped}.\n"


_TABLES: Final[Mapping[str, Callable[[Found], Iterable[str]]]] = {
    "memory": _memory, "quality": _quality, "speed": _speed, "cleaning": _cleaning,
}  # fmt: skip
