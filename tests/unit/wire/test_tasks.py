"""A task is the same word in three rooms: its contract, the worker's module and the training backend's tasks."""

import struct
from pathlib import Path
from subprocess import run
from sys import executable
from typing import get_args

import orjson
import pytest

from model_service.tasks.open import module_of
from storage.manifest import Manifest
from training.tasks.open import TASKS as TRAINED
from wire.errors import InvalidInput
from wire.tasks.contract import Contract
from wire.tasks.parameter import Choice, Count, Flag, Name
from wire.tasks.table import TASKS, task_named
from wire.tasks.vectors import vectors_of
from wire.tensors import Tensor

ROOT = Path(__file__).parents[3]
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@every_task
def test_every_contract_is_served_by_the_worker_s_module_of_its_name(task: Contract) -> None:
    assert callable(module_of(task.name).open_task)
    assert (ROOT / "wire/tasks" / f"{task.name.replace('-', '_')}.py").exists()
    assert task_named(task.name) is task
    assert task.about


def test_a_worker_of_tensors_does_without_the_memory_of_tokenizers() -> None:
    script = "import sys, model_service.tasks.open as o; o.module_of('tensors'); print('tokenizers' in sys.modules)"
    assert run([executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"


def test_vectors_are_read_from_bytes_and_from_a_view_of_a_body_alike() -> None:
    data = struct.pack("<6f", *range(6))
    for held in (data, memoryview(b"{}" + data)[2:]):
        rows = vectors_of(Tensor("vectors", "FP32", (2, 3), held))
        assert [row.tolist() for row in rows] == [[0, 1, 2], [3, 4, 5]]


def test_every_task_that_is_trained_is_served_by_a_contract() -> None:
    for trained in TRAINED:
        assert task_named(trained.served_as), trained.name


@every_task
def test_every_contract_is_trained_or_says_why_not(task: Contract) -> None:
    assert any(trained.served_as == task.name for trained in TRAINED) != bool(task.untrained)


def test_a_manifest_s_task_is_one_that_has_a_contract() -> None:
    assert get_args(Manifest.model_fields["task"].annotation) == tuple(task.name for task in TASKS)
    with pytest.raises(ValueError, match="there is no task 'poetry'; there are tensors, tabular"):
        task_named("poetry")


@every_task
def test_what_takes_text_says_in_json_what_goes_in_and_out(task: Contract) -> None:
    described = (
        task.head,
        task.inputs,
        task.outputs,
        task.body_inputs,
        task.body_answer,
        task.body_parameters,
        task.example,
    )
    assert [bool(part) for part in described] == [task.takes_text] * len(described)
    assert task.reads == {parameter.name for parameter in task.parameters}
    if task.empty is not None:
        assert orjson.loads(task.empty) == []


@pytest.mark.parametrize(
    ("parameter", "wrong", "words"),
    [
        (Flag("cut", True, ""), 1, "parameter 'cut' must be true or false, not 1"),
        (Count("most"), 0, "parameter 'most' must be an integer of 1 or more, not 0"),
        (Count("most"), True, "parameter 'most' must be an integer of 1 or more, not true"),
        (Choice("how", "simple", ("none",)), "average", "parameter 'how' must be 'simple' or 'none', not 'average'"),
    ],
)
def test_a_parameter_that_is_left_out_has_its_default_and_a_wrong_one_is_refused(
    parameter: Flag | Count | Choice, wrong: object, words: str
) -> None:
    assert parameter.read({}) == parameter.default
    with pytest.raises(InvalidInput) as refused:
        parameter.read({parameter.name: wrong})
    assert str(refused.value) == words


def test_a_parameter_s_range_is_in_its_schema() -> None:
    assert Count("most").schema["anyOf"][0] == {"type": "integer", "minimum": 1}
    assert Choice("how", "simple", ("none",)).schema["anyOf"][0]["enum"] == ["none", "simple"]
    assert Name("which", "One of the model's.").schema["anyOf"][0]["description"] == "One of the model's."
    with pytest.raises(InvalidInput, match="from 1 to 4, not 5"):
        Count("most").read({"most": 5}, 4)
