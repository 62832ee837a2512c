import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer

from tests.training.train_stage import STEPS, TINY, recipe, work
from training.profile.bottleneck import Bottleneck
from training.profile.run import run, verdict
from training.profile.suggest import suggestions
from training.profile.trial import trial
from training.report.sections.profile import section
from training.stage import Work
from training.tasks.base import Model
from training.tasks.text_classification import TextClassification
from training.train.arguments import arguments

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]

SHARES = {"waiting": 0.0, "optimizer": 0.0, "products": 0.0, "other": 1.0, "padding": 0.0, "operators": []}
Changes = list[dict[str, Any]]


class Slow(TextClassification):
    """Its rows come from a slow disk, and a step takes half of that: a worker hides that much, whatever goes on."""

    def trainer(self) -> type[Trainer]:
        class Resting(Trainer):
            def compute_loss(self, *arguments: Any, **options: Any) -> Any:
                time.sleep(0.15)
                return super().compute_loss(*arguments, **options)

        return Resting

    def collator(self, model: Model) -> Any:
        inner = super().collator(model)

        def collate(features: list[dict[str, Any]]) -> Any:
            time.sleep(0.3)
            return inner(features)

        return collate


def job(folder: Path, **blocks: Any) -> Work:
    return work(folder, recipe(profile={"steps": 4, "rounds": 2}, train={**STEPS, "eval_steps": 0.5}, **blocks))


def suggested(folder: Path, threads: int, shares: dict[str, float], **train: Any) -> Changes:
    options = arguments(recipe(train=train), TextClassification(), folder)
    found = Bottleneck(**{**SHARES, **shares})  # type: ignore[arg-type]
    return [one.change for one in suggestions(found, options, threads)]


def test_the_parts_add_up_and_every_suggestion_is_tried(tmp_path: Path) -> None:
    given = job(tmp_path)
    outcome = run(given)
    found = outcome["bottleneck"]
    parts = [found[name] for name in ("waiting", "optimizer", "products", "other")]
    assert sum(parts) == pytest.approx(1)
    assert all(0 <= part <= 1 for part in parts)
    assert 0 < found["padding"] < 1  # film reviews are of different length
    assert found["operators"][0]["operator"].startswith("aten::")
    assert {"train_sampling_strategy": "group_by_length"} in [one["change"] for one in outcome["suggestions"]]
    for one in outcome["suggestions"]:
        assert len(one["before"]) == len(one["after"]) == 2
        assert one["verdict"] == verdict(one["before"], one["after"])
        assert min(one["before"] + one["after"]) > 0
    assert json.loads((given.folder / "trace.json").read_text())["traceEvents"]
    json.dumps(outcome)
    reported = str(section({"profile": outcome}))
    assert found["largest"] in reported
    assert all(f"{one['gain']:+.1%}" in reported for one in outcome["suggestions"])


def test_a_recipe_that_evaluates_before_its_first_step_is_profiled_all_the_same(tmp_path: Path) -> None:
    given = work(tmp_path, recipe(model=TINY, profile={"steps": 2}, train={**STEPS, "eval_on_start": True}))
    assert trial(given, TextClassification(), {}).rows_per_second > 0


def test_a_slow_data_loader_is_found_and_workers_are_measured_to_help(tmp_path: Path) -> None:
    outcome = run(job(tmp_path, model=TINY), Slow())
    assert outcome["bottleneck"]["largest"] == "waiting for the data loader"
    (workers,) = [one for one in outcome["suggestions"] if "dataloader_num_workers" in one["change"]]
    assert workers["gain"] > 0
    assert workers["verdict"] == "faster"


def test_nothing_is_suggested_where_nothing_stands_out(tmp_path: Path) -> None:
    assert suggested(tmp_path, len(os.sched_getaffinity(0)), {}) == []


@pytest.mark.parametrize(
    ("shares", "change"),
    [
        ({"waiting": 0.5}, {"dataloader_num_workers": 1, "dataloader_persistent_workers": True}),
        ({"padding": 0.4}, {"train_sampling_strategy": "group_by_length"}),
        ({"optimizer": 0.4}, {"per_device_train_batch_size": 16}),
        ({"products": 0.8}, {"bf16": True}),
    ],
)
def test_what_takes_the_time_says_what_to_try(shares: dict[str, float], change: dict[str, Any], tmp_path: Path) -> None:
    found = suggested(tmp_path, 1, shares)
    assert [set(one) for one in found if set(one) == set(change)] == [set(change)]


def test_what_the_recipe_does_already_is_not_suggested(tmp_path: Path) -> None:
    train = {"train_sampling_strategy": "group_by_length", "bf16": True, "dataloader_num_workers": 2}
    shares = {"waiting": 0.5, "padding": 0.4, "products": 0.8}
    assert all("threads" in one for one in suggested(tmp_path, 1, shares, **train))


def test_runs_that_overlap_prove_nothing() -> None:
    assert verdict([10, 11], [12, 13]) == "faster"
    assert verdict([10, 11], [8, 9]) == "slower"
    assert verdict([10, 12], [11, 13]) == "no clear difference"
