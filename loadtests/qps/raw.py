"""loadtests/results/qps.raw.json.xz: the result with every second of every run, and the summary that is made of it."""

import json
import lzma
from pathlib import Path
from typing import Any

from loadtests.results import FOLDER, Result

RAW = FOLDER / "qps.raw.json.xz"
SERIES = {"per_second", "cpu_per_second", "memory_mb_per_second"}


def write_raw(found: Result, path: Path = RAW) -> Path:
    """Keep all of it, compressed; the path."""
    path.write_bytes(lzma.compress(json.dumps(found, ensure_ascii=False).encode(), preset=9))
    return path


def read_raw(path: Path = RAW) -> Result:
    """What `write_raw` kept. Raises FileNotFoundError, and ValueError where the file is none of ours."""
    try:
        found: Result = json.loads(lzma.decompress(path.read_bytes()))
    except lzma.LZMAError as error:
        raise ValueError(f"{path} is no xz file: {error}") from None
    return found


def summary(found: Result) -> Result:
    """The result without what was noted second by second."""
    return Result(**{**found, "rounds": _without_series(found["rounds"])})


def _without_series(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_series(each) for key, each in value.items() if key not in SERIES}
    return [_without_series(each) for each in value] if isinstance(value, list) else value
