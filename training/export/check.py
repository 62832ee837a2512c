"""Whether the variants answer what the trained model does, and not what its base did."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.export.parity import Difference, compare, record
from training.export.session import alone, session
from training.recipe.export import Export, Variant
from training.tasks.base import Arrays, Model, Run, Task

if TYPE_CHECKING:
    from datasets import Dataset

ROWS_ALONE: Final = 16
NOISE: Final = 1e-6  # of the order in which fp32 numbers are added


class ParityFailed(Exception):
    """A variant's answers are too far from the trained model's, or too near to its base's."""


@dataclass
class Figures:
    """What was found about a variant. Differences are of the graph's outputs, as `Difference` counts them;
    `neighbours`: of a row beside others."""

    file: str
    bytes: int
    tolerance: float
    largest: float
    mean: float
    from_base: float
    neighbours: float
    metrics: dict[str, float]
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def check(
    task: Task, model: Model, base: Model, paths: Mapping[Variant, Path], rows: "Dataset", block: Export
) -> tuple[dict[str, float], dict[Variant, Figures]]:
    """The trained model's metrics on `rows`, and the figures of each variant; what is wrong is among them."""
    trained, before = remember(task.eager(model)), remember(task.eager(base))
    learnt: dict[str, Difference] = {}
    expected = task.measure(task.predict(compare(trained, {"base": before}, learnt), model, rows), rows)
    figures = {}
    for variant, path in paths.items():
        differences: dict[str, Difference] = {}
        batches: list[Arrays] = []
        run = record(session(path), batches)
        predictions = task.predict(compare(run, {"trained": trained, "base": before}, differences), model, rows)
        off, from_base = differences["trained"], differences["base"]
        found = Figures(
            file=path.name,
            bytes=sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")),
            tolerance=block.tolerance_of(variant),
            largest=off.largest,
            mean=off.mean,
            from_base=from_base.largest,
            neighbours=_dependence(session(path), batches, task.example(model, rows)),
            metrics=task.measure(predictions, rows),
        )
        found.wrong = find_wrong(variant, found, off, from_base, task, expected.get(task.metric), block)
        if learnt["base"].largest <= NOISE:
            found.wrong.append("the trained model answers as its base does: training has changed nothing")
        figures[variant] = found
    return expected, figures


def require(figures: Mapping[Variant, Figures]) -> None:
    """Raises ParityFailed with a line for all that is wrong."""
    if lines := [f"{variant}: {line}" for variant, found in figures.items() for line in found.wrong]:
        raise ParityFailed("\n".join(lines))


def remember(run: Run) -> Run:
    """A run like `run` that answers a batch that it had before from memory."""
    answers: dict[bytes, Arrays] = {}

    def once(inputs: Arrays) -> Arrays:
        digest = blake2b()
        for name in sorted(inputs):
            digest.update(f"{name}{inputs[name].shape}".encode() + inputs[name].tobytes())
        if (key := digest.digest()) not in answers:
            answers[key] = run(inputs)
        return answers[key]

    return once


def find_wrong(
    variant: Variant,
    found: Figures,
    off: Difference,
    from_base: Difference,
    task: Task,
    metric: float | None,
    block: Export,
) -> list[str]:
    """What is wrong with a variant, a line for each reason.

    Its outputs differ by `off` from the trained model's and by `from_base` from the base model's, and `found` has its
    metrics and its tolerance. `metric` is the trained model's, None where it was not measured on these rows.
    """
    lines = []
    if not off.finite:
        lines.append("it answers with numbers that are not finite")
    elif off.largest > found.tolerance:
        lines.append(
            f"its outputs are up to {off.largest:.3g} from the trained model's, export.tolerance.{variant} allows"
            f" {found.tolerance:g}"
        )
    # A coarse variant of a model that was hardly trained may be a little nearer to the base; the exact ones may not.
    exact = variant in ("fp32", "fp16")
    nearer = from_base.largest <= off.largest if exact else from_base.mean < off.mean / 2
    if from_base.largest <= NOISE or nearer:
        lines.append(
            f"its outputs are {from_base.mean:.3g} from the base model's (up to {from_base.largest:.3g}), and"
            f" {off.mean:.3g} from the trained model's (up to {off.largest:.3g}): what was exported is the base"
        )
    if metric is None:
        return lines
    drop = (metric - found.metrics[task.metric]) * (1 if task.higher_is_better else -1)
    if drop > block.metric_drop:
        lines.append(
            f"its {task.metric} is {found.metrics[task.metric]:.4f}, the trained model's is {metric:.4f}:"
            f" export.metric_drop allows {block.metric_drop:g}"
        )
    return lines


def _dependence(run: Run, batches: Sequence[Arrays], example: Mapping[str, Any]) -> float:
    """By how much a row's outputs change beside other rows: beside those of like length, and beside a longer one."""
    first = {name: array[:ROWS_ALONE] for name, array in batches[0].items()}
    mixed = {name: tensor.numpy() for name, tensor in example.items()}
    found = Difference()
    for inputs in (first, mixed):
        found.add(run(inputs), alone(run)(inputs), inputs)
    return found.largest
