"""What is counted of a training's memory, by real steps of MiniLM's lower layers."""

import datasets
import pytest
import torch
import transformers

from loadtests.claims.memory_run import Ledger, resident, settle
from tests.training.train_stage import LORA, recipe, rows
from training.tasks.open import open_task
from training.train.adapter import adapt
from training.train.arguments import arguments, trainer_for

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("default")


def counted(folder, dtype: str = "float32", **blocks) -> tuple[Ledger, int, int]:
    """The ledger of two steps, how many weights there are, and how many of them are trained."""
    train = {"max_steps": 2, "per_device_train_batch_size": 4, "eval_strategy": "no", "save_strategy": "no"}
    asked = recipe(train={**train, "load_best_model_at_end": False}, **blocks)
    asked = asked.model_copy(update={"model": asked.model.model_copy(update={"dtype": dtype})})
    task, data = open_task(asked.task), rows(16, 4)
    datasets.disable_caching()
    transformers.set_seed(7)
    model = task.start(asked, task.labels(data, asked))
    if asked.peft is not None:
        model = adapt(model, asked, task)
    options = arguments(asked, task, folder)
    trainer = trainer_for(task, model, options, task.features(data["train"], model), None, task.collator(model))
    ledger = Ledger()
    trainer.add_callback(ledger)
    trainer.train()
    every = list(model.network.parameters())
    return ledger, sum(map(torch.numel, every)), sum(one.numel() for one in every if one.requires_grad)


def test_full_fine_tuning_keeps_sixteen_bytes_a_weight(tmp_path):
    found, weights, trained = counted(tmp_path)
    assert trained == weights
    assert found.found["weights"] == found.found["gradients"] == 4 * weights
    assert found.found["optimizer"] == pytest.approx(8 * weights, rel=1e-3)  # and a count of steps for each tensor


def test_with_lora_only_what_is_trained_has_gradients_and_an_optimizers_state(tmp_path):
    found, weights, trained = counted(tmp_path, peft=LORA)
    assert trained < weights / 20
    assert found.found["weights"] == 4 * weights
    assert found.found["gradients"] == 4 * trained
    assert found.found["optimizer"] == pytest.approx(8 * trained, rel=1e-3)


def test_a_base_of_sixteen_bits_takes_two_bytes_a_weight_beside_adapters_of_four(tmp_path):
    found, weights, trained = counted(tmp_path, "bfloat16", peft=LORA)
    assert 2 * weights < found.found["weights"] <= 2 * (weights - trained) + 4 * trained


def test_the_peak_is_that_since_the_process_settled():
    settle()
    before = resident("VmRSS")
    taken = torch.ones(30_000_000)
    assert resident("VmHWM") - before > 100e6
    del taken
    settle()
    assert resident("VmHWM") - before < 20e6
