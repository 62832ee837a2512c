"""Over 2 and 4 processes with gloo: what comes out is what one process makes of the same rows."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.servers import free_port
from tests.training.train_stage import LORA, MINILM, NO_DROPOUT, STEPS, events, recipe, trained, work
from training.recipe.block import RecipeError
from training.recipe.recipe import Recipe
from training.recipe.train import Distributed
from training.tasks.open import open_task
from training.train.check import check
from training.train.fit import TrainingFailed
from training.train.launch import command, command_for
from training.train.run import run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]

BATCH, HELD_OUT = 16, 30  # which eight rows at a time do not divide, nor two or four shares of these
MODEL = {"base": MINILM, "max_length": 16, "config": NO_DROPOUT}
FIGURES = ("loss", "learning_rate", "gradient_norm", "samples")


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    # The processes are started with `python -m`, from wherever the tests run.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


def given(batch: int, steps: int = 6, **blocks: Any) -> Recipe:
    batches = {"per_device_train_batch_size": batch, "per_device_eval_batch_size": 8}
    train = {**STEPS, **batches, "max_steps": steps, "eval_steps": 3}
    return recipe(model=MODEL, train=train, **blocks)


def drawn(folder: Path) -> list[int]:
    """The steps whose loss TensorBoard draws."""
    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [event.step for event in board.Scalars("train/loss")]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    one = given(BATCH)
    # The last weights are kept, as they are where the loop is ours.
    kept = one.model_copy(update={"train": {**one.train, "load_best_model_at_end": False}})
    return trained(tmp_path_factory.mktemp("single"), kept, 80, HELD_OUT)


@pytest.mark.parametrize(
    ("block", "batch"),
    [
        ({"strategy": "ddp", "processes": 2}, BATCH // 2),
        ({"strategy": "ddp", "processes": 4}, BATCH // 4),
        ({"strategy": "fsdp", "processes": 2}, BATCH // 2),
        ({"strategy": "fsdp", "processes": 4}, BATCH // 4),
        ({"strategy": "tensor", "processes": 2, "tensor": 2}, BATCH),
        ({"strategy": "tensor", "processes": 4, "tensor": 4}, BATCH),
        ({"strategy": "hybrid", "processes": 4, "tensor": 2}, BATCH // 2),
    ],
    ids=lambda value: f"{value['strategy']}-{value['processes']}" if isinstance(value, dict) else None,
)
def test_loss_and_weights_are_those_of_a_single_process(
    single: tuple[dict[str, Any], Path], block: dict[str, Any], batch: int, tmp_path: Path
) -> None:
    one = given(batch, distributed=block)
    if block["strategy"] == "ddp":
        one = one.model_copy(update={"train": {**one.train, "load_best_model_at_end": False}})
    equal(trained(tmp_path, one, 80, HELD_OUT), single, block["processes"])


def equal(
    got: tuple[dict[str, Any], Path],
    wanted: tuple[dict[str, Any], Path],
    processes: int,
    task: str = "text-classification",
) -> None:
    """Checks figures and weights of a run over `processes` against those of another, within a tolerance."""
    (outcome, folder), (expected, alone) = got, wanted
    assert outcome["processes"] == processes
    assert outcome["validation_loss"] == pytest.approx(expected["validation_loss"], rel=1e-4)
    for here, there in zip(events(folder, "step"), events(alone, "step"), strict=True):
        assert [here[name] for name in FIGURES] == pytest.approx([there[name] for name in FIGURES], rel=1e-3)
    assert drawn(folder) == [1, 2, 3, 4, 5, 6]
    weights, same = (open_task(task).load(path / "model").network.state_dict() for path in (folder, alone))
    assert weights.keys() == same.keys()
    assert all(weights[name].allclose(same[name], atol=5e-5) for name in same)


def test_adapters_are_trained_over_several_processes(tmp_path: Path) -> None:
    outcome, folder = trained(tmp_path, given(8, 3, peft=LORA, distributed={"strategy": "ddp"}), 48, 16)
    assert outcome["steps"] == 3
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()


def test_a_killed_run_takes_its_processes_with_it_and_resumes(
    single: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    block = {"strategy": "fsdp", "processes": 2}
    job = work(tmp_path, given(BATCH // 2, distributed=block), 80, HELD_OUT)
    code = (
        "import sys; from pathlib import Path; from tests.training.test_distributed import *; "
        f"trained(Path(sys.argv[1]), given({BATCH // 2}, distributed={block!r}), 80, HELD_OUT)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    while not (job.folder / "log.jsonl").exists() or len(events(job.folder, "step")) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    gone, alive = psutil.wait_procs(started, timeout=60)
    assert len(gone) >= 3
    assert not alive
    outcome = run(job)
    assert outcome["validation_loss"] == pytest.approx(single[0]["validation_loss"], rel=1e-4)
    assert [event["step"] for event in events(job.folder, "step")] == drawn(job.folder) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_loss_that_is_no_number_ends_every_process(strategy: str, tmp_path: Path) -> None:
    one = given(8, 50, distributed={"strategy": strategy, "processes": 2})
    far = one.model_copy(update={"train": {**one.train, "learning_rate": 1e30, "warmup_steps": 0}})
    job = work(tmp_path, far, 48, 16)
    with pytest.raises(TrainingFailed, match=r"TrainingFailed: step \d+: the loss is nan: lower train.learning_rate"):
        run(job)
    assert [event["kind"] for event in events(job.folder, "alert") if event["kind"] == "nan"] == ["nan"]
    assert events(job.folder, "end")


def test_processes_end_where_torchrun_is_killed_with_the_run(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.training.train_stage import *; "
        "quiet = {**STEPS, 'max_steps': 10**6, 'eval_steps': 10**6}; "
        "trained(Path(sys.argv[1]), recipe(model=TINY, train=quiet, distributed={'strategy': 'ddp'}), 48, 16)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], process_group=0)
    folder = tmp_path / "train"
    while not (folder / "log.jsonl").exists() or len(events(folder, "step")) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)  # as `timeout -s KILL` does it; a worker has a group of its own
    process.wait()
    gone, alive = psutil.wait_procs(started, timeout=60)
    for one in alive:
        one.kill()
    assert len(gone) >= 3
    assert not alive


def test_what_a_process_says_before_it_fails_is_in_the_error(tmp_path: Path) -> None:
    job = work(tmp_path, given(8, distributed={"strategy": "ddp"}), 48, 16)
    (job.folder / "checkpoints").write_text("in the way")
    with pytest.raises(TrainingFailed, match="checkpoints"):
        run(job)


def test_a_second_node_takes_part_by_the_line_that_is_printed(
    single: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    block = {"nodes": 2, "strategy": "hybrid", "processes": 2, "tensor": 2, "rendezvous": f"127.0.0.1:{free_port()}"}
    job = work(tmp_path, given(BATCH // 2, distributed=block), 80, HELD_OUT)
    second: list[subprocess.Popen[bytes]] = []

    def say(line: str) -> None:
        if line.startswith(told := "start on node 1, with the same folders: "):
            second.append(subprocess.Popen(line.removeprefix(told), shell=True))

    outcome = run(replace(job, say=say))
    (node,) = second
    assert node.wait(60) == 0
    equal((outcome, job.folder), single, 4)


def test_every_node_has_a_command_line() -> None:
    block = Distributed(strategy="hybrid", nodes=2, processes=8, tensor=8, rendezvous="10.0.0.1:29500")
    first, second = (command(block, Path("/shared/work.json"), rank) for rank in (0, 1))
    assert block.world == 16
    assert {"--nnodes=2", "--nproc-per-node=8", "--rdzv-endpoint=10.0.0.1:29500"} < set(first) & set(second)
    assert ("--node-rank=0" in first, "--node-rank=1" in second) == (True, True)


def test_the_line_for_another_node_sets_its_threads_and_can_be_typed_in_a_shell(tmp_path: Path) -> None:
    block = Distributed(strategy="hybrid", nodes=2, processes=2, tensor=2, rendezvous="10.0.0.1:29500", threads=3)
    spec = tmp_path / "with a space" / "work.json"
    echoed = command_for(block, spec, 1).replace(sys.executable, "sh -c 'echo $OMP_NUM_THREADS \"$@\"' sh", 1)
    words = subprocess.run(echoed, shell=True, capture_output=True, text=True, check=True).stdout
    assert words == f"3 {' '.join(command(block, spec, 1)[1:])}\n"


@pytest.mark.parametrize(
    ("task", "model", "words"),
    [
        ("object-detection", {"config": {"model_type": "yolos"}}, "are lists"),
        ("embedding", MODEL, "a loss of its own"),
    ],
)
def test_what_the_sharded_loop_cannot_train_is_refused(task: str, model: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=f"{task} .*{words}, which ddp .*, but not fsdp"):
        check(recipe(task=task, model=model, distributed={"strategy": "fsdp", "processes": 2}))


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"nodes": 2}, "rendezvous"),
        ({"strategy": "tensor", "processes": 4, "tensor": 2}, "tensor must be 4"),
        ({"strategy": "hybrid", "processes": 4, "tensor": 3}, "divides 4"),
        ({"strategy": "fsdp", "tensor": 2}, "not fsdp"),
        ({"strategy": "ddp", "plan": {"a": "colwise"}}, "plan"),
    ],
)
def test_processes_that_do_not_add_up_are_refused(block: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Distributed.model_validate(block)
