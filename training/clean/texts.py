"""The text in a row, wherever it stands: in a column, in a list of tokens, in the messages of a chat."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from training.recipe.block import RecipeError, nearest

Row = Mapping[str, Any]

# The columns that a task of ours may have. Labels and tags are no text.
TEXTS: Final = (
    "text", "text_pair", "question", "context", "source", "target", "prompt", "chosen", "rejected", "caption",
    "tokens", "messages",
)  # fmt: skip


def columns_of(there: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The columns that hold text. Raises RecipeError where a wanted one is missing, or there is none."""
    for name in wanted:
        if name not in there:
            raise RecipeError(f"clean.columns: the rows have no {name!r}{nearest(name, there)}")
    found = tuple(wanted) or tuple(name for name in TEXTS if name in there)
    if not found:
        others = f" of {', '.join(there)}" if there else ""
        raise RecipeError(f"clean: no column{others} is known to hold text: name it in 'columns', or leave clean out")
    return found


def text_of(value: Any) -> str:
    """A column's value as one text; that of nothing is empty."""
    match value:
        case None:
            return ""
        case str():
            return value
        case [{"content": _}, *_]:
            return "\n".join(message["content"] for message in value)
        case _:
            return " ".join(value)


def join_text(row: Row, columns: Sequence[str]) -> str:
    """All text of a row."""
    return "\n".join(text_of(row[name]) for name in columns)


def rewrite(row: Row, columns: Sequence[str], change: Callable[[str], str]) -> dict[str, Any]:
    """The row with every piece of its text changed, and its answers with it."""
    new = {**row, **{name: _change(row[name], change) for name in columns}}
    if "answers" in row and new["context"] != row["context"]:
        answers = row["answers"]
        starts = [len(change(row["context"][:start])) for start in answers["answer_start"]]
        new["answers"] = {"text": [change(text) for text in answers["text"]], "answer_start": starts}
    return new


def is_misplaced(row: Row) -> bool:
    """Whether an answer is not where in its context it is said to be."""
    if "answers" not in row:
        return False
    answers = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
    return not all(row["context"].startswith(text, start) for text, start in answers)


def _change(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case None:
            return None
        case str():
            return change(value)
        case [{"content": _}, *_]:
            return [{**message, "content": change(message["content"])} for message in value]
        case _:
            return [change(token) for token in value]
