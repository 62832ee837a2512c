"""Networks for rows of numbers take every row there is."""

from pathlib import Path

import pytest
import torch

from tests.training.cases import case
from training.stage import Work
from training.tasks.open import open_task
from training.tasks.tabular_network import TabularConfig, TabularNetwork
from training.train.run import run

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.parametrize("name", ["tabular-classification", "tabular-regression"])
def test_an_epoch_may_end_with_a_batch_of_one_row(name: str, tmp_path: Path) -> None:
    options = {"max_steps": -1, "num_train_epochs": 2, "per_device_train_batch_size": 8, "eval_steps": 6}
    recipe, data = case(name, tmp_path, 51, options)
    folder = tmp_path / "train"
    folder.mkdir()
    outcome = run(Work(recipe, folder, {"data": data}, {}, print))
    assert outcome["steps"] == 2 * 6, "five batches of eight rows and one of one"
    weights = open_task(name).load(folder / "model").network.state_dict()
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_a_lone_row_is_scaled_by_the_rows_before_it() -> None:
    network = TabularNetwork(TabularConfig(["x", "y"], regression=True, dropout=0.0)).train()
    rows, targets = torch.tensor([[1.0, 5.0], [3.0, 9.0], [5.0, 1.0]]), torch.tensor([10.0, 30.0, 80.0])
    for _ in range(50):
        network(rows, targets)
    known = {name: buffer.clone() for name, buffer in network.named_buffers()}
    alone = network(rows[:1], targets[:1])
    assert all(buffer.equal(known[name]) for name, buffer in network.named_buffers())
    asked = network.eval()(rows[:1])
    assert alone.logits.equal(asked.logits)
    off = (asked.logits[0, 0] - targets[0]) / (known["target.running_var"] + network.target.eps).sqrt()
    assert alone.loss.item() == pytest.approx(off.item() ** 2, rel=1e-4)
