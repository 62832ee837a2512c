"""LoRA keeps 98% of full fine-tuning's quality: the same rows, the same steps, five seeds, pair by pair."""

from collections import Counter
from pathlib import Path
from typing import Any, Final

from datasets import load_from_disk

from loadtests.claims.arithmetic import mean, ratio, verdict
from loadtests.claims.stages import BATCH, LENGTH, ROWS, STEPS, Say, movies
from training import pipeline
from training.recipe.recipe import Recipe
from training.stage import ROWS as SPLITS
from training.tasks.open import open_task

CLAIM: Final = 0.98
SEEDS: Final = (1, 2, 3, 4, 5)
CHOSEN_ON: Final = 0  # a seed of its own, whose validation rows choose each arm's rate
RATES: Final = {"full": (5e-5, 1e-4, 2e-4), "lora": (5e-4, 1e-3, 2e-3, 4e-3)}
METRICS: Final = ("accuracy", "f1", "above_chance")


def measure(work: Path, say: Say) -> dict[str, Any]:
    """The accuracy of both arms on held-out rows, seed by seed, and what part of it LoRA keeps."""
    tried = {arm: {rate: _loss(arm, rate, work, say) for rate in rates} for arm, rates in RATES.items()}
    chosen = {arm: min(losses, key=lambda rate: losses[rate]) for arm, losses in tried.items()}
    runs: list[dict[str, Any]] = []
    for seed in SEEDS:
        pair = {arm: _judged(arm, rate, seed, work, say) for arm, rate in chosen.items()}
        say(f"seed {seed}: " + ", ".join(f"{arm} {one['accuracy']:.4f}" for arm, one in pair.items()))
        runs.append({"seed": seed, **pair})
    kept = {name: ratio([run["lora"][name] for run in runs], [run["full"][name] for run in runs]) for name in METRICS}
    return {
        "settings": {"rows": ROWS, "steps": STEPS, "batch": BATCH, "max_length": LENGTH, "seeds": SEEDS},
        "rates": {arm: {"chosen": chosen[arm], "validation_loss": losses} for arm, losses in tried.items()},
        "runs": runs,
        "means": {arm: mean([run[arm]["accuracy"] for run in runs]).as_json() for arm in RATES},
        "kept": {name: found.as_json() for name, found in kept.items()},
        "verdict": verdict(kept["accuracy"], CLAIM),
    }


def _recipe(arm: str, rate: float, seed: int) -> Recipe:
    return movies(seed, rate, lora=arm == "lora")


def _loss(arm: str, rate: float, work: Path, say: Say) -> float:
    """On the validation rows of the seed that rates are chosen on."""
    loss: float = pipeline.run(_recipe(arm, rate, CHOSEN_ON), work, say, "train").outcomes["train"]["validation_loss"]
    return loss


def _judged(arm: str, rate: float, seed: int, work: Path, say: Say) -> dict[str, float]:
    """The metrics on the test rows, which choose nothing."""
    recipe = _recipe(arm, rate, seed)
    found = pipeline.run(recipe, work, say, "train")
    task = open_task(recipe.task)
    model = task.load(found.folders["train"] / "model")
    rows = load_from_disk(str(found.folders["data"] / SPLITS))["test"]
    metrics = task.measure(task.predict(task.eager(model), model, rows), rows)
    commonest = max(Counter(rows["label"][:]).values()) / len(rows)
    return {
        **metrics,
        "above_chance": metrics["accuracy"] - commonest,
        "test_rows": len(rows),
        "trainable_parameters": found.outcomes["train"]["trainable_parameters"],
        "seconds": found.outcomes["train"]["seconds"],
    }
