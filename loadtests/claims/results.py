"""What was measured, as it stands in docs/claims/<name>.json."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from training.export.manifest import versions

PAGE: Final = Path(__file__).parents[2] / "docs" / "claims.md"
FOLDER: Final = PAGE.with_suffix("")
_PACKAGES: Final = ("torch", "transformers", "peft", "onnxruntime", "numpy")


def write(name: str, found: Mapping[str, Any]) -> Path:
    """Keep what was found of a claim just now on this machine, in the place of an earlier one."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    about = {
        "command": f"python -m loadtests.claims {name}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
    }
    path.write_text(json.dumps({**about, **found}, indent=1) + "\n")
    return path


def read_all() -> dict[str, dict[str, Any]]:
    """Every result that is there, by the claim's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def machine() -> dict[str, Any]:
    """This one, with what else it was doing: the load average of the last quarter of an hour."""
    return {
        "cpu": _first("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "threads": os.environ.get("OMP_NUM_THREADS", "as many as cores"),
        "memory_gb": round(int(_first("/proc/meminfo", "MemTotal").split()[0]) * 1024 / 1e9, 1),
        "load_average": os.getloadavg()[2],
        "python": platform.python_version(),
        "versions": versions(*_PACKAGES),
    }


def _first(file: str, key: str) -> str:
    lines = (line.partition(":") for line in Path(file).read_text().splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), "unknown")
