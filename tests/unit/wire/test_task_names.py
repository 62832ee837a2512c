"""A task is named in its own rooms alone: everywhere else its contract, or its class in training, says what it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.tasks.open import TASKS as TRAINED
from wire.tasks.table import TASKS

ROOT = Path(__file__).parents[3]
ROOMS = ("cache", "gateway", "headrace", "loadtests/claims", "model_service", "service", "storage", "training", "wire")
OWN = ("model_service/tasks", "training/tasks", "wire/tasks")
NAMES = frozenset([*(task.name for task in TASKS), *(task.name for task in TRAINED)])
_OF_A_TASK = frozenset(f"{room.replace('/', '.')}.{name.replace('-', '_')}" for room in OWN for name in NAMES)
_ASKS = ("startswith", "endswith", "removeprefix", "removesuffix")


def named_in(source: str) -> Iterator[str]:
    """The lines that hold a name against a task's, ask for a part of it, or ask for the class of one task."""
    tree = ast.parse(source)
    classes = set(_classes(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                found = any(text in NAMES for part in (left, *others) for text in _texts(part))
            case ast.MatchValue(value=value):
                found = any(text in NAMES for text in _texts(value))
            case ast.Call(func=ast.Attribute(attr=attribute), args=[what]) if attribute in _ASKS:
                found = any(_is_part(text) for text in _texts(what))
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
                found = any(isinstance(part, ast.Name) and part.id in classes for part in ast.walk(kinds))
            case _:
                found = False
        if found:
            yield f"{node.lineno}: {ast.unparse(node)}"  # type: ignore[attr-defined]


def _classes(tree: ast.Module) -> Iterator[str]:
    """What is imported from the module of one task."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in _OF_A_TASK:
            yield from (name.asname or name.name for name in node.names)


def _texts(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def _is_part(text: str) -> bool:
    """Whether names of tasks begin or end with it: `tabular`, `text-`, `-classification`."""
    words = text.strip("-")
    return len(words) > 3 and any(f"-{words}-" in f"-{name}-" for name in NAMES)


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_outside_the_tasks_own_rooms_asks_which_task_it_is(room: str) -> None:
    asked = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / room).rglob("*.py")
        if not str(path.relative_to(ROOT)).startswith(OWN)
        for line in named_in(path.read_text(encoding="utf-8"))
    }
    assert not asked, "make what is asked for a member of the task's contract or class"


@pytest.mark.parametrize(
    "line",
    [
        "if name == 'chat': pass",
        "if recipe.task in ('tabular-regression', 'forecasting'): pass",
        "if task.name.startswith('tabular'): pass",
        "if task.name.endswith('-classification'): pass",
        "match task:\n    case 'tensors' | 'tabular': pass",
        "from training.tasks.chat import Chat\nisinstance(task, Chat)",
        "from wire.tasks.tabular import Tabular as Rows\nisinstance(task, int | Rows)",
    ],
)
def test_each_way_to_ask_for_a_task_by_its_name_is_seen(line: str) -> None:
    assert list(named_in(line))


@pytest.mark.parametrize(
    "line",
    [
        "fields = {'task': 'tabular', 'embedding': vector}",
        "if task.takes_text: pass",
        "if kind == 'image': pass",
        "if path.startswith('/v1'): pass",
        "from training.tasks.base import Task\nisinstance(task, Task)",
    ],
)
def test_what_writes_a_name_down_or_asks_for_a_fact_is_no_such_line(line: str) -> None:
    assert not list(named_in(line))
