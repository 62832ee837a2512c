"""A decoder whose head is its embedding, over several processes: as one process makes it, where nothing divides."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.test_distributed import equal
from tests.training.train_stage import MINILM, STEPS, events, recipe, trained
from tests.training.train_stage import rows as sources
from training.recipe.recipe import Recipe
from training.stage import ROWS as ROWS_FOLDER

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]

BATCH, ROWS, HELD_OUT = 16, 80, 22  # of those, each share of two has eight rows, and then one six and the other none
TIED = {
    "tokenizer": MINILM,
    "max_length": 24,  # of texts, some of which are shorter
    "config": {
        "model_type": "llama",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 64,
        "vocab_size": 30522,  # no multiple of 4
        "max_position_embeddings": 32,
        "tie_word_embeddings": True,
    },
}


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    # The processes are started with `python -m`, from wherever the tests run.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


def given(task: str, batch: int, **blocks: Any) -> Recipe:
    batches = {"per_device_train_batch_size": batch, "per_device_eval_batch_size": 8}
    train = {**STEPS, **batches, "learning_rate": 1e-2, "max_steps": 6, "eval_steps": 3}
    last = {} if blocks and blocks["distributed"]["strategy"] != "ddp" else {"load_best_model_at_end": False}
    return recipe(task=task, model=TIED, train={**train, **last}, **blocks)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    return trained(tmp_path_factory.mktemp("single"), given("causal-lm", BATCH), ROWS, HELD_OUT)


@pytest.mark.parametrize(
    ("block", "batch"),
    [
        ({"strategy": "ddp", "processes": 2}, BATCH // 2),
        ({"strategy": "fsdp", "processes": 4}, BATCH // 4),
        ({"strategy": "tensor", "processes": 2, "tensor": 2}, BATCH),
        ({"strategy": "hybrid", "processes": 4, "tensor": 2}, BATCH // 2),
    ],
    ids=lambda value: value["strategy"] if isinstance(value, dict) else None,
)
def test_a_tied_decoder_comes_out_as_of_a_single_process(
    single: tuple[dict[str, Any], Path], block: dict[str, Any], batch: int, tmp_path: Path
) -> None:
    got = trained(tmp_path, given("causal-lm", batch, distributed=block), ROWS, HELD_OUT)
    equal(got, single, block["processes"], "causal-lm")
    losses = [[event["loss"] for event in events(folder, "validation")] for _, folder in (got, single)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_every_figure_of_preferences_is_that_of_a_single_process(tmp_path: Path) -> None:
    texts = [row["text"] for row in sources(16, 6)["train"]] + [row["text"] for row in sources(16, 6)["test"]]
    pairs = [{"prompt": "Go on:", "chosen": text, "rejected": text[::-1]} for text in texts]
    table = {
        "train": pairs[:16],
        "validation": pairs[16:21],
        "test": pairs[21:],
    }  # five, two at a time
    figures = []
    for name, block, batch in (("alone", {}, 4), ("both", {"distributed": {"strategy": "ddp", "processes": 2}}, 2)):
        folder = tmp_path / name
        DatasetDict({split: Dataset.from_list(rows) for split, rows in table.items()}).save_to_disk(
            str(folder / "data" / ROWS_FOLDER)
        )
        steps = {"max_steps": 2, "eval_steps": 1, "per_device_eval_batch_size": 2, "load_best_model_at_end": False}
        one = given("dpo", batch, **block)
        _, stage = trained(folder, one.model_copy(update={"train": {**one.train, **steps}}))
        board = EventAccumulator(str(stage / "tensorboard")).Reload()
        told = [tag for tag in board.Tags()["scalars"] if tag.startswith("eval/") and not tag.endswith("per_second")]
        figures.append({tag: [event.value for event in board.Scalars(tag)] for tag in told if "runtime" not in tag})
        figures[-1]["loss"] = [event["loss"] for event in events(stage, "validation")]
    assert {"loss", "eval/rewards/margins", "eval/rewards/accuracies"} <= figures[0].keys()
    assert figures[1].keys() == figures[0].keys()
    for tag, values in figures[0].items():
        assert figures[1][tag] == pytest.approx(values, rel=1e-3, abs=1e-5), tag
