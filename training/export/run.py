"""From the trained model to an artifact: graphs that were checked, and all that a worker and other tools need."""

import shutil
from pathlib import Path
from typing import Any, Final

from datasets import Dataset, load_from_disk

from training.export.artifact import describe, describe_variants, tensors, write_artifact, write_goldens
from training.export.base import base_of
from training.export.check import check, require
from training.export.fuse import Fused, fuse
from training.export.graph import to_onnx
from training.export.parity import record
from training.export.session import session
from training.export.tune import Best, search
from training.export.variants import make
from training.stage import Work
from training.tasks.base import Arrays
from training.tasks.open import open_task

ARTIFACT: Final = "artifact"
ASKED_ROWS: Final = 256  # while what is fastest is looked for


def run(work: Work) -> dict[str, Any]:
    """Write `artifact/`. Raises ExportFailed, VariantFailed or ParityFailed, which say what is wrong."""
    recipe, block = work.recipe, work.recipe.export
    task, rows, trained = open_task(recipe.task), load_from_disk(str(work.rows)), work.inputs["train"] / "model"
    model = task.load(trained)
    held_out = some(rows["validation"], block.parity_rows, recipe.seed)
    folder, scratch = _make_anew(work.folder / ARTIFACT), _make_anew(work.folder / "scratch")

    work.say("export: the graph")
    plain = scratch / "plain.onnx"
    exporter = to_onnx(model.network, task.example(model, held_out), task.outputs, block.opset, plain)
    fused = Fused(plain, {}, "not asked for")
    if block.fuse:
        fused = fuse(plain, scratch / "fused.onnx", task, model, held_out, block.tolerance_of("fp32"))

    def calibration() -> list[Arrays]:
        batches: list[Arrays] = []
        task.predict(record(session(plain), batches), model, some(rows["train"], block.calibration_rows, recipe.seed))
        return batches

    paths = make(block.variants, folder, plain, fused.path, trained, calibration, work.say)
    work.say("export: compare with the trained model and with its base")
    base = base_of(task, model, recipe)
    expected, figures = check(task, model, base, paths, held_out, block)
    require(figures)

    fields = describe(work, task, model, trained, plain, folder)
    served = describe_variants(folder, figures)
    write_goldens(folder, served, task, model, some(held_out, block.golden_rows, recipe.seed))
    best = Best(next(iter(served)))
    if block.tune is not None:
        cases = task.golden(session(plain), model, some(held_out, ASKED_ROWS, recipe.seed))
        asked = [tensors(given) for given, _ in cases]
        best = search(folder, fields, served, asked, block.tune, work.say)
    outcome = {
        "exporter": exporter,
        "opset": block.opset,
        "fused": fused.operators,
        "not_fused": fused.why_not,
        "expected": expected,
        "variants": {variant: found.as_json() for variant, found in figures.items()},
        "served": best.variant,
        "tuned": best.as_json(),
    }
    manifest = write_artifact(folder, recipe, fields, served, best, outcome)
    shutil.rmtree(scratch)
    return {**outcome, "digest": manifest.digest}


def some(rows: Dataset, count: int, seed: int) -> Dataset:
    """That many of the rows, or all: the same every time, and of all kinds where they were sorted."""
    return rows.shuffle(seed=seed, keep_in_memory=True).select(range(min(count, len(rows))))


def _make_anew(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir(parents=True)
    return folder
