import json
import socket
import time
import urllib.request
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerControl, TrainerState, TrainingArguments

from tests.training.train_stage import STEPS, TINY, events, recipe, work
from training.tasks.base import Model
from training.tasks.text_classification import TextClassification
from training.train.fit import TrainingFailed, fit
from training.train.monitor.alerts import Step
from training.train.monitor.callback import MonitorCallback
from training.train.monitor.log import RunLog, read
from training.train.monitor.machine import _gpu
from training.train.monitor.monitor import Monitor
from training.train.monitor.prometheus import MetricsUnserved
from training.train.settings import MonitorSettings

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]


def figures(text: str) -> Counter[str]:
    """The metrics of a run, sums over what they are divided by."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels["model"] == "sources"
            found[sample.name] += sample.value  # type: ignore[assignment]
    return found


class Slow(TextClassification):
    """Fetches rows as from a slow disk: `pauses` says how long before each."""

    def __init__(self, pauses: dict[int, float], always: float = 0.0) -> None:
        self.pauses, self.always, self.fetched = pauses, always, 0

    def collator(self, model: Model) -> Any:
        inner = super().collator(model)

        def collate(features: list[dict[str, Any]]) -> Any:
            time.sleep(self.pauses.get(self.fetched, self.always))
            self.fetched += 1
            return inner(features)

        return collate


def test_every_step_is_in_the_log_in_tensorboard_and_in_prometheus_terms(tmp_path: Path) -> None:
    job = work(tmp_path, recipe(train={**STEPS, "max_steps": 6}))
    fit(job, MonitorSettings())
    steps = events(job.folder, "step")
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert all(step["samples"] == pytest.approx(16, abs=0.1) and step["memory"] > 100e6 for step in steps)
    assert all(step["seconds"] > step["waited"] >= 0 for step in steps)
    found = figures((job.folder / "metrics.prom").read_text())
    assert found["headrace_training_loss"] == steps[-1]["loss"]
    assert found["headrace_training_learning_rate"] == steps[-1]["learning_rate"]
    assert found["headrace_training_gradient_norm"] == steps[-1]["gradient_norm"]
    assert found["headrace_training_samples_per_second"] == pytest.approx(
        steps[-1]["samples"] / steps[-1]["seconds"], rel=0.01
    )
    assert found["headrace_training_steps_planned"] == 6
    assert found["headrace_training_running"] == 0
    board = EventAccumulator(str(job.folder / "tensorboard")).Reload()
    assert [event.value for event in board.Scalars("train/loss")] == pytest.approx([s["loss"] for s in steps], abs=1e-4)


def test_tensorboard_draws_every_figure_of_a_step_and_each_step_once_where_a_run_is_resumed(tmp_path: Path) -> None:
    def monitor() -> Monitor:
        return Monitor(MonitorSettings(), "sources", tmp_path, print)

    def steps(first: int, last: int, watching: Monitor) -> None:
        for step in range(first, last + 1):
            watching.step(Step(step, 0.1, 1.0 / step, 1e-3, 0.5, 32.0, 1.0, 3.0))
        watching.record_validation(last, 0.25)
        watching.end()

    killed, resumed = monitor(), monitor()
    killed.begin(0, 6, {})
    steps(1, 5, killed)
    resumed.begin(3, 6, {})
    steps(4, 6, resumed)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in board.Scalars("eval/loss")] == [6]
    last = {tag: board.Scalars(tag)[-1].value for tag in board.Tags()["scalars"]}
    assert last["train/loss"] == pytest.approx(1 / 6)
    assert (last["train/gradient_norm"], last["train/learning_rate"]) == (0.5, pytest.approx(1e-3))
    assert (last["speed/rows_per_second"], last["speed/waiting_ratio"]) == (8.0, 0.25)
    assert last["machine/memory_bytes"] > 100e6
    assert "machine/cpu_cores" in last


def test_a_resumed_run_raises_the_alerts_of_one_that_was_never_stopped(tmp_path: Path) -> None:
    # The mean of two steps is above where it began in the tenth only, above what it was after the fourth earlier.
    losses = [8.0, 8.0, 1.0, 1.0, 3.0, 3.0, 7.0, 7.0, 9.0, 9.0, 9.0, 9.0]

    def run(folder: Path, first: int, last: int) -> None:
        watching = Monitor(MonitorSettings(alert_window=2), "sources", folder, print)
        watching.begin(first, 12, {})
        for step in range(first + 1, last + 1):
            watching.step(Step(step, 0.1, losses[step - 1], 1e-3, 0.5, 32.0, 1.0, 3.0))
        watching.end()

    for stops in ([12], [4, 12], [4, 6, 12], [11, 12]):
        folder = tmp_path / str(stops)
        for first, last in pairwise([0, *stops]):
            run(folder, first, last)
        assert [(alert["step"], alert["kind"]) for alert in events(folder, "alert")] == [(10, "divergence")]
        assert [step["step"] for step in events(folder, "step")] == list(range(1, 13))


def test_tensorboard_draws_what_a_tasks_own_trainer_logs(tmp_path: Path) -> None:
    watching = Monitor(MonitorSettings(), "sources", tmp_path, print)
    callback, state = MonitorCallback(watching, 10, {}), TrainerState(global_step=2, max_steps=3)
    arguments, control = TrainingArguments(output_dir=str(tmp_path), report_to="none"), TrainerControl()
    callback.on_train_begin(arguments, state, control)
    callback.on_log(arguments, state, control, {"rewards/margins": 0.5, "eval_rewards/margins": 0.25})
    watching.end()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert board.Scalars("train/rewards/margins")[0].value == 0.5
    assert board.Scalars("eval/rewards/margins")[0].value == 0.25


def test_prometheus_can_ask_a_run_while_it_trains(tmp_path: Path) -> None:
    answers: list[Counter[str]] = []
    ports: list[int] = []

    class Asking(TextClassification):
        def collator(self, model: Model) -> Any:
            inner = super().collator(model)

            def collate(features: list[dict[str, Any]]) -> Any:
                if ports:
                    with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/metrics") as answer:
                        answers.append(figures(answer.read().decode()))
                return inner(features)

            return collate

    def say(text: str) -> None:
        if text.startswith("metrics on port"):
            ports.append(int(text.rpartition(" ")[2]))

    job = work(tmp_path, recipe(train={**STEPS, "max_steps": 4}))
    fit(type(job)(job.recipe, job.folder, job.inputs, {}, say), MonitorSettings(metrics_port=0), Asking())
    assert all(answer["headrace_training_running"] == 1 for answer in answers)
    assert answers[2]["headrace_training_step"] >= 1
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/metrics")


def test_the_table_of_metrics_says_what_a_run_exports(tmp_path: Path) -> None:
    job = work(tmp_path, recipe(model=TINY, train={**STEPS, "max_steps": 2}))
    fit(job, MonitorSettings())
    kinds = {"gauge": ("", "`model`, `run`"), "counter": ("_total", "`kind`, `model`, `run`")}
    expected = [
        f"| `{family.name}{kinds[family.type][0]}` | {family.type} | {kinds[family.type][1]} | training | "
        f"{family.documentation} |"
        for family in text_string_to_metric_families((job.folder / "metrics.prom").read_text())
        if not family.name.endswith("_created")
    ]
    table = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text().splitlines()
    assert sorted(line for line in table if "| training |" in line) == sorted(expected)


def test_a_loss_that_is_no_number_stops_the_run_with_an_alert(tmp_path: Path) -> None:
    job = work(tmp_path, recipe(train={**STEPS, "max_steps": 50, "learning_rate": 1e30, "warmup_steps": 0}))
    with pytest.raises(TrainingFailed, match=r"lower train.learning_rate"):
        fit(job, MonitorSettings())
    (alert,) = [event for event in events(job.folder, "alert") if event["kind"] == "nan"]
    assert alert["step"] == events(job.folder, "step")[-1]["step"] < 50
    assert figures((job.folder / "metrics.prom").read_text())["headrace_training_alerts_total"] >= 1
    assert not (job.folder / "trained.json").exists()


def test_a_learning_rate_far_too_high_is_called_divergence(tmp_path: Path) -> None:
    given = {**STEPS, "max_steps": 16, "learning_rate": 1.0, "warmup_steps": 10}
    job = work(tmp_path, recipe(train=given))
    fit(job, MonitorSettings(alert_window=4))
    (alert,) = [event for event in events(job.folder, "alert") if event["kind"] == "divergence"]
    assert "mean loss" in alert["text"]


def test_a_run_that_hangs_is_called_stalled_and_goes_on_when_it_can(tmp_path: Path) -> None:
    job = work(tmp_path, recipe(model=TINY, train={**STEPS, "max_steps": 4}))
    fit(job, MonitorSettings(stall_s=3), Slow({3: 6.0}))
    (alert,) = events(job.folder, "alert")
    assert (alert["kind"], events(job.folder, "step")[-1]["step"]) == ("stall", 4)


def test_an_evaluation_that_takes_long_is_not_called_a_stall(tmp_path: Path) -> None:
    given = {**STEPS, "max_steps": 1, "eval_steps": 1, "per_device_eval_batch_size": 2}
    job = work(tmp_path, recipe(model=TINY, train=given))
    fit(job, MonitorSettings(stall_s=6), Slow({}, always=0.5))
    assert events(job.folder, "alert") == []


def test_waiting_for_data_is_called_starvation(tmp_path: Path) -> None:
    job = work(tmp_path, recipe(model=TINY, train={**STEPS, "max_steps": 6}))
    fit(job, MonitorSettings(alert_window=3, starvation=0.6), Slow({}, always=1.5))
    (alert,) = events(job.folder, "alert")
    assert alert["kind"] == "starvation"
    assert "dataloader_num_workers" in alert["text"]


def test_a_sound_run_raises_no_alert(tmp_path: Path) -> None:
    job = work(tmp_path, recipe(train={**STEPS, "max_steps": 12}))
    fit(job, MonitorSettings(alert_window=4))
    assert events(job.folder, "alert") == []


def test_a_run_that_fails_before_its_first_step_says_what_it_failed_of(tmp_path: Path) -> None:
    job = work(tmp_path, recipe(model=TINY, train={**STEPS, "max_steps": 2, "optim": "adamw_anyprecision"}))
    with pytest.raises(ValueError, match="torchdistx"):
        fit(job, MonitorSettings())


def test_a_port_in_use_is_named_with_the_setting_that_asks_for_it(tmp_path: Path) -> None:
    job = work(tmp_path, recipe(model=TINY, train={**STEPS, "max_steps": 2}))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MetricsUnserved, match=f"127.0.0.1:{port}.* set HEADRACE_TRAINING_METRICS_PORT"):
            fit(job, MonitorSettings(metrics_port=port))


def test_a_gpu_that_does_not_tell_how_busy_it_is_is_trained_on_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> int:
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 5)
    monkeypatch.setattr(torch.cuda, "utilization", missing)
    assert _gpu() == (5, None)
    monkeypatch.setattr(torch.cuda, "utilization", lambda: 40)
    assert _gpu() == (5, 0.4)


def test_the_log_goes_on_after_the_step_that_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    log.begin(0)
    log.write("begin", planned=3)
    for step in (1, 2, 3):
        log.write("step", step=step, loss=float("nan"))
    with path.open("a") as file:
        file.write('{"event": "st')
    log.begin(2)
    assert [(event["event"], event.get("step")) for event in read(path)] == [("begin", None), ("step", 1), ("step", 2)]
    assert json.loads(path.read_text().splitlines()[1])["loss"] == "nan"
