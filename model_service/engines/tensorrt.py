"""TensorRT's options for a session: what it builds its engines for, and where it keeps them.

Building takes minutes, so engines are kept beside the cached artifact, by its digest, the device and the releases
that built them: none is ever loaded for another graph, on another device or by another release.
"""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from storage.manifest import TensorRT

_PACKAGES: Final = ("onnxruntime-gpu", "tensorrt-cu13")
_DRIVER: Final = Path("/proc/driver/nvidia")


def options_of(settings: TensorRT | None, cache: Path) -> dict[str, str]:
    """What ONNX Runtime's provider is given; `cache` is the folder for this artifact's engines, and is made."""
    settings = settings or TensorRT()
    folder = cache / name_build()
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": "1" if settings.fp16 else "0",
    }
    for bound in ("min", "opt", "max"):
        if (shapes := getattr(settings, f"profile_{bound}")) is not None:
            options[f"trt_profile_{bound}_shapes"] = shapes
    return options


def cache_of(folder: Path) -> Path:
    """Where the engines are kept of the artifact cached in `folder`: beside it, as nothing else may be inside."""
    return folder.with_name(f"{folder.name}.tensorrt")


def name_build(driver: Path = _DRIVER) -> str:
    """A name for the device and the releases that an engine is good for, such as `NVIDIA-H200-3f2a90c1`."""
    models = sorted({_model(about) for about in driver.glob("gpus/*/information")}) or ["no device"]
    releases = "\n".join([*map(_release, _PACKAGES), _text(driver / "version")])
    return f"{'-'.join(models).replace(' ', '-')}-{hashlib.sha256(releases.encode()).hexdigest()[:8]}"


def _model(about: Path) -> str:
    fields = dict(line.partition(":")[::2] for line in _text(about).splitlines())
    return fields.get("Model", "unknown").strip()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _release(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
