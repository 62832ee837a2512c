"""What the columns of a task hold, whatever file they came from: text stays text, numbers become numbers."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.data.media import audio, image
from training.data.value import Missing, name_kind, require_text, short
from training.recipe.labels import as_text

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe
    from training.tasks.base import Task

_NO_NUMBER: Final = ("", "na", "n/a", "null", "none", "nil", "-", "?")  # as spreadsheets and databases write it
_GROUPED: Final = re.compile(r"\s*[-+]?[0-9]+([.,'\s][0-9]+)+\s*")
Convert = Callable[[Any, Path], Any]  # the value and the folder that it was found in


@dataclass(frozen=True)
class Kind:
    """`convert` raises ValueError, which begins with 'is', where it isn't of this kind."""

    convert: Convert
    feature: Callable[[], Any]  # of datasets.Features


def kind_of(column: str, task: "Task") -> Kind | None:
    """What a column of a task holds; None where it may be anything."""
    if task.numeric_rows:
        return LABEL if column == "label" else NUMBER
    return _KINDS.get(column)


def one_label(task: "Task") -> bool:
    """Whether an input has one label, so that rows with others contradict it.

    A few numbers do not settle a label as a text or an image does: equal ones with others are no mistake.
    """
    return "label" in task.columns and not task.numeric_rows


def own_columns(task: "Task", recipe: "Recipe") -> list[str]:
    """The columns that the task works with; a recipe may take others along."""
    return [*task.columns, *(recipe.model.config.get("columns", ()) if task.numeric_rows else ())]


def _text(value: Any, folder: Path) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is {name_kind(value)}, {short(value)}, where a text is wanted")
    if not value.strip():
        raise Missing("is empty")
    return value


def _label(value: Any, folder: Path) -> str:
    if isinstance(value, float) and math.isnan(value):
        raise Missing("is missing")
    if not isinstance(value, str | int | float):
        raise ValueError(f"is {name_kind(value)}, {short(value)}, where a label is wanted")
    if not (label := as_text(value).strip()):
        raise Missing("is empty")
    return label


def _number(value: Any, folder: Path) -> float:
    if isinstance(value, str) and value.strip().lower() in _NO_NUMBER:
        raise Missing(f"is {value.strip()!r}" if value.strip() else "is empty")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        hint = ": write it with a point, and nothing between the thousands" if _GROUPED.fullmatch(str(value)) else ""
        raise ValueError(f"is {name_kind(value)}, {short(value)}, where a number is wanted{hint}") from None
    if not math.isfinite(number):
        raise Missing(f"is {number}")
    return number


def _list(of: Convert) -> Convert:
    def convert(value: Any, folder: Path) -> list[Any]:
        value = _parse(value)
        if not isinstance(value, list):
            raise ValueError(f"is {name_kind(value)}, {short(value)}, where a list is wanted")
        if not value:
            raise Missing("is empty")
        return [of(one, folder) for one in value]

    return convert


def _message(value: Any, folder: Path) -> dict[str, str]:
    if not isinstance(value, dict) or not {"role", "content"} <= value.keys():
        raise ValueError(f"has {short(value)}, where a message with its role and content is wanted")
    return {"role": _text(value["role"], folder), "content": _text(value["content"], folder)}


def _answers(value: Any, folder: Path) -> dict[str, list[Any]]:
    texts, starts = _lists(value, "text", "answer_start")
    if len(texts) != len(starts):
        raise ValueError(f"has {len(texts)} texts and {len(starts)} starts")
    return {"text": texts, "answer_start": starts}


def _boxes(value: Any, folder: Path) -> dict[str, list[Any]]:
    places, labels = _lists(value, "bbox", "category")
    if len(places) != len(labels):
        raise ValueError(f"has {len(places)} boxes and {len(labels)} labels")
    return {"bbox": [_box(place, folder) for place in places], "category": [_label(label, folder) for label in labels]}


def _lists(value: Any, *names: str) -> list[list[Any]]:
    value = _parse(value)
    if not isinstance(value, dict) or not set(names) <= value.keys():
        raise ValueError(f"is {short(value)}, where an object with {' and '.join(names)} is wanted")
    for name in names:
        if not isinstance(value[name], list):
            raise ValueError(f"has the {name} {short(value[name])}, where a list is wanted: [] where there is none")
    return [value[name] for name in names]


def _box(value: Any, folder: Path) -> list[float]:
    box = [_number(one, folder) for one in value] if isinstance(value, list | tuple) else []
    if len(box) != 4 or min(box[2:]) <= 0:
        raise ValueError(f"has the box {short(value)}, where [x, y, width, height] are wanted")
    return box


def _parse(value: Any) -> Any:
    """Lists and objects are JSON where a file's cells can only be text."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except json.JSONDecodeError:
        return value
    require_text(found)
    return found


def _feature(name: str) -> Callable[[], Any]:
    def make() -> Any:
        from datasets import Image, List, Value

        return {
            "string": Value("string"),
            "number": Value("float64"),
            "strings": List(Value("string")),
            "numbers": List(Value("float64")),
            "messages": List({"role": Value("string"), "content": Value("string")}),
            "answers": {"text": List(Value("string")), "answer_start": List(Value("int64"))},
            "boxes": {"bbox": List(List(Value("float64"))), "category": List(Value("string"))},
            "image": Image(),
            "audio": {"path": Value("string"), "bytes": Value("binary")},  # as datasets.Audio, which wants torchcodec
        }[name]

    return make


TEXT: Final = Kind(_text, _feature("string"))
LABEL: Final = Kind(_label, _feature("string"))
NUMBER: Final = Kind(_number, _feature("number"))
_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(
        ("text", "text_pair", "question", "context", "source", "target", "prompt", "chosen", "rejected", "caption"),
        TEXT,
    ),
    "label": LABEL,
    "score": NUMBER,
    "tokens": Kind(_list(_text), _feature("strings")),
    "tags": Kind(_list(_label), _feature("strings")),
    "series": Kind(_list(_number), _feature("numbers")),
    "messages": Kind(_list(_message), _feature("messages")),
    "answers": Kind(_answers, _feature("answers")),
    "boxes": Kind(_boxes, _feature("boxes")),
    "image": Kind(image, _feature("image")),
    "mask": Kind(image, _feature("image")),
    "audio": Kind(audio, _feature("audio")),
}
