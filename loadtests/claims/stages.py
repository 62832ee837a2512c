"""The recipes that the claims are measured with."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from training.recipe.data import Split
from training.recipe.recipe import Recipe, load

RECIPES: Final = Path(__file__).parents[2] / "training" / "recipes"
ROWS, LENGTH, BATCH, STEPS = 3600, 64, 16, 300
SPLIT: Final = Split(validation=0.1, test=0.4)  # many that judge: what is looked for are small differences
# The last step's weights count: a choice among checkpoints would be one more difference between two runs.
TO_THE_END: Final[Mapping[str, Any]] = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}

Say = Callable[[str], None]


def recipe(name: str) -> Recipe:
    """One that the project keeps."""
    return load(RECIPES / f"{name}.yaml")


def movies(seed: int, rate: float, *, lora: bool = False, **train: Any) -> Recipe:
    """Movie sentiment on rows drawn with the seed: every weight trained, or LoRA's. `train` goes to the Trainer."""
    found = recipe("movie-sentiment-lora" if lora else "movie-sentiment")
    ours = {**TO_THE_END, "max_steps": STEPS, "per_device_train_batch_size": BATCH, "learning_rate": rate}
    return found.model_copy(
        update={
            "seed": seed,
            "datasets": [one.model_copy(update={"sample": ROWS}) for one in found.datasets],
            "split": SPLIT,
            "model": found.model.model_copy(update={"max_length": LENGTH}),
            "train": {**found.train, **ours, **train},
        }
    )
