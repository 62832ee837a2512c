"""The log of a training run: one JSON object a line, the same whether the run was killed on its way or not."""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

LOG: Final = "log.jsonl"


class RunLog:
    """Appends events to `log.jsonl`. Every event has an `event`, and a `step` where it belongs to one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, step: int) -> None:
        """Go on after `step`: what a killed run wrote of later ones, or only in part, is dropped."""
        kept = [json.dumps(event) + "\n" for event in read(self._path) if event.get("step", 0) <= step] if step else []
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(kept))
        partial.replace(self._path)  # another file, for who reads on from where it was

    def write(self, event: str, **fields: Any) -> None:
        """Append one event; a number that JSON has no form for becomes its name."""
        plain = {name: _as_json(value) for name, value in fields.items()}
        with self._path.open("a") as file:
            file.write(json.dumps({"event": event, **plain}) + "\n")


def read(path: Path, event: str | None = None) -> Iterator[dict[str, Any]]:
    """The events of a log, or those of one kind; nothing where there is no log. A broken last line is left out."""
    if path.is_file():
        yield from (found for found in parse(path.read_text()) if event is None or found["event"] == event)


def parse(text: str) -> Iterator[dict[str, Any]]:
    """The events in a log's text, without what is broken."""
    for line in text.splitlines():
        with suppress(json.JSONDecodeError):
            yield json.loads(line)


def _as_json(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
