"""Which releases the extras take, where the newest ones don't go together."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]


def test_tensorrt_is_one_that_onnx_runtimes_provider_can_load() -> None:
    # The provider is linked with libnvinfer.so.10, and with CUDA 13 as the rest of onnxruntime-gpu is.
    extra = {found.name: found for found in map(Requirement, PROJECT["optional-dependencies"]["worker-tensorrt"])}
    assert "tensorrt" not in extra
    taken = [v for v in ("10.13.3", "10.14.1", "10.16.1.11", "11.0.0.114") if v in extra["tensorrt-cu13"].specifier]
    assert taken == ["10.14.1", "10.16.1.11"]
