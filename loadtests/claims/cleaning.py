"""Cleaning raises the share of usable rows by 40% and shortens convergence by 30%: Chinese reviews."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from datasets import DatasetDict, concatenate_datasets, load_from_disk

from loadtests.claims import usable
from loadtests.claims.arithmetic import Curve, less, lowest, mean, ratio, steps_to_reach, verdict
from loadtests.claims.stages import TO_THE_END, Say, recipe
from training import pipeline
from training.clean.run import DROPPED
from training.data.canonical import row_id
from training.data.lines import write_lines
from training.evaluate.intervals import Interval
from training.recipe.data import DatasetBlock, Split
from training.recipe.recipe import Recipe
from training.recipes import chinese_reviews
from training.stage import ROWS
from training.train.monitor.log import LOG, read

USABLE_CLAIM: Final = 0.4
CONVERGENCE_CLAIM: Final = 0.3
RECIPE: Final = "chinese-reviews"
ARMS: Final = ("raw", "cleaned")
PLAIN: Final = "once and rightly labelled"
STRICT: Final = "and good enough for the cleaning's classifier"
SEEDS: Final = (1, 2, 3, 4, 5)
AS_THEY_COME: Final = Split(validation=0.0, test=0.0, deduplicate=False)
STEPS, EVERY, BATCH, LENGTH, RATE = 400, 20, 32, 48, 5e-4
HELD_OUT: Final = 800
NEAR: Final = 1.02  # of the least loss: which step it falls on is a matter of chance


def measure(work: Path, say: Say) -> dict[str, Any]:
    """The share of usable rows before and after, and the held-out losses of what is trained on either."""
    if not (chinese_reviews.MADE / "encoder").is_dir():
        chinese_reviews.make(work)
    whole, folder = recipe(RECIPE), work / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    once = _rows(whole, "data", work, say)  # each text once, and then split
    every = _rows(whole.model_copy(update={"split": AS_THEY_COME}), "data", work, say)["train"].to_list()
    judging = {row_id(row) for name in ("validation", "test") for row in once[name]}
    raw = [row for row in every if row_id(row) not in judging]
    held_out = once["validation"].shuffle(seed=whole.seed, keep_in_memory=True).select(range(HELD_OUT)).to_list()
    write_lines(held_out, folder / "held-out.jsonl")
    write_lines(raw, folder / "raw.jsonl")

    dirty = whole.model_copy(update={"datasets": _files(folder, "raw"), "split": AS_THEY_COME})
    cleaned = pipeline.run(dirty, work, say, "clean")
    kept = load_from_disk(str(cleaned.folders["clean"] / ROWS))["train"].to_list()
    write_lines(kept, folder / "cleaned.jsonl")
    dropped = [json.loads(line) for line in (cleaned.folders["clean"] / DROPPED).read_text().splitlines()]
    shares = _shares(raw, dropped, once, say)

    curves = {arm: [_curve(_trained(whole, folder, arm, seed), work, say) for seed in SEEDS] for arm in ARMS}
    return {
        "settings": {
            "steps": STEPS,
            "every": EVERY,
            "batch": BATCH,
            "max_length": LENGTH,
            "rate": RATE,
            "seeds": SEEDS,
        },
        "rows": {"read": len(every), "raw": len(raw), "held_out": len(held_out)},
        "cleaning": cleaned.outcomes["clean"],
        "usable": shares,
        "convergence": {
            "to the raw run's least": _convergence(curves, 1.0),
            f"to {NEAR} times that": _convergence(curves, NEAR),
        },
        "least_loss": {arm: mean([lowest(curve)[1] for curve in curves[arm]]).as_json() for arm in ARMS},
        "curves": curves,
    }


def _rows(recipe: Recipe, until: str, work: Path, say: Say) -> DatasetDict:
    return load_from_disk(str(pipeline.run(recipe, work, say, until).folders[until] / ROWS))


def _files(folder: Path, train: str) -> list[DatasetBlock]:
    return [
        DatasetBlock(path=str(folder.resolve() / f"{name}.jsonl"), split=split)
        for name, split in ((train, "train"), ("held-out", "validation"))
    ]


def _shares(
    raw: Sequence[Mapping[str, Any]], dropped: Sequence[Mapping[str, Any]], once: DatasetDict, say: Say
) -> dict[str, Any]:
    """Before and after: judged by what the cleaning does not know, and with the quality that its classifier saw too.

    Which labels are doubted depends a little on the folds that they are judged by: the intervals are over those.
    """
    gone = {line["index"] for line in dropped}
    poor = {line["id"] for line in dropped if line["reason"] == "low-quality"}
    each = concatenate_datasets(list(once.values()))
    found: dict[str, dict[str, list[float]]] = {kind: {arm: [] for arm in ARMS} for kind in (PLAIN, STRICT)}
    for seed in SEEDS:
        wrong = usable.doubted(each, seed)
        for kind, of_no_use in ((PLAIN, wrong), (STRICT, wrong | poor)):
            for arm, rows in (("raw", raw), ("cleaned", [row for at, row in enumerate(raw) if at not in gone])):
                verdicts = usable.judge(rows, of_no_use)
                found[kind][arm].append(usable.share(verdicts))
                say(f"usable, {kind}, {arm}, seed {seed}: {usable.share(verdicts):.4f}, {usable.reasons(verdicts)}")
    return {kind: _raised(shares) for kind, shares in found.items()}


def _raised(shares: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    points = mean([after - before for before, after in zip(shares["raw"], shares["cleaned"], strict=True)])
    times = ratio(shares["cleaned"], shares["raw"])
    by = Interval(*(end - 1 for end in times))
    return {
        **{arm: mean(values).as_json() for arm, values in shares.items()},
        "points": points.as_json(),
        "raised": by.as_json(),
        "verdict": {"points": verdict(points, USABLE_CLAIM), "raised": verdict(by, USABLE_CLAIM)},
    }


def _trained(whole: Recipe, folder: Path, arm: str, seed: int) -> Recipe:
    """The same encoder with a head from the same random numbers, on the rows of the arm."""
    train = {
        **TO_THE_END, "eval_strategy": "steps", "eval_steps": EVERY, "max_steps": STEPS, "learning_rate": RATE,
        "lr_scheduler_type": "constant_with_warmup",  # one that falls would have its own say in when a loss is least
        "per_device_train_batch_size": BATCH,
        "per_device_eval_batch_size": 2 * BATCH,
    }  # fmt: skip
    model = whole.model.model_copy(update={"max_length": LENGTH})
    blocks = {"datasets": _files(folder, arm), "split": AS_THEY_COME, "clean": None, "model": model, "train": train}
    return whole.model_copy(update={**blocks, "seed": seed})


def _curve(recipe: Recipe, work: Path, say: Say) -> Curve:
    log = pipeline.run(recipe, work, say, "train").folders["train"] / LOG
    return [(event["step"], event["loss"]) for event in read(log, "validation")]


def _convergence(curves: Mapping[str, Sequence[Curve]], near: float) -> dict[str, Any]:
    """Steps until the held-out loss is within `near` of the least that the raw rows led to, on either."""
    levels = [near * lowest(curve)[1] for curve in curves["raw"]]
    steps = {
        arm: [steps_to_reach(curve, level) for curve, level in zip(curves[arm], levels, strict=True)] for arm in ARMS
    }
    # One that never got there is counted as if it had at the end, which flatters the cleaning.
    counted = {arm: [one or STEPS for one in steps[arm]] for arm in ARMS}
    shorter = less(counted["cleaned"], counted["raw"])
    return {
        "steps": steps,
        "reached": sum(one is not None for one in steps["cleaned"]),
        "shorter": shorter.as_json(),
        "verdict": verdict(shorter, CONVERGENCE_CLAIM),
    }
