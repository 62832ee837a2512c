"""Tries every path to a GPU on this machine and writes down what it saw: `python -m loadtests.gpu [--out FILE]`.

Each check runs in a process of its own, with a time limit: all of them together take less than ten minutes. Ends with 0
where all passed, 1 where one did not, and 77 where there is no GPU, which is said.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_service.engines.base import ProviderMissing
from model_service.engines.onnx import OnnxEngine
from model_service.engines.tensorrt import name_build
from model_service.trial import run_trial
from storage.importers import import_model
from storage.manifest import EngineSettings

NO_GPU: Final = 77
WIDTH, ROWS, RUNS = 1024, 64, 50
PROFILE: Final = {f"profile_{name}": f"x:{rows}x{WIDTH}" for name, rows in (("min", 1), ("opt", ROWS), ("max", 128))}
PACKAGES: Final = ("onnxruntime", "onnxruntime-gpu", "tensorrt-cu13")


def save_graph(path: Path) -> Path:
    """Three wide layers: enough for a device to be faster than a processor."""
    generator = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array((generator.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32), f"w{n}")
        for n in range(3)
    ]
    nodes = []
    for n in range(3):
        nodes.append(helper.make_node("MatMul", [f"h{n}" if n else "x", f"w{n}"], [f"m{n}"]))
        nodes.append(helper.make_node("Relu", [f"m{n}"], ["y" if n == 2 else f"h{n + 1}"]))
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph(nodes, "layers", ports[:1], ports[1:], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, path)
    return path


def inputs(rows: int = ROWS) -> dict[str, Any]:
    return {"x": np.random.default_rng(1).standard_normal((rows, WIDTH)).astype(np.float32)}


def run(folder: Path, settings: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """Open, compare with the processor and time: what was seen. Raises AssertionError where answers differ."""
    graph = save_graph(folder / "model.onnx")
    began = monotonic()
    engine = OnnxEngine(graph, EngineSettings.model_validate(settings), threads=4, built=folder / "built")
    engine.run(inputs())
    opened = monotonic() - began
    expected = OnnxEngine(graph, EngineSettings(), threads=4)
    worst = 0.0
    for rows in (1, 7, ROWS):
        got, right = engine.run(inputs(rows))["y"], expected.run(inputs(rows))["y"]
        worst = max(worst, float(np.abs(got - right).max()))
    assert worst <= tolerance, f"off by {worst:.3g} from the processor, {tolerance:g} is allowed"
    seen: dict[str, Any] = {"opened_s": round(opened, 2), "largest_difference": worst}
    for name, timed in (("device", engine), ("processor", expected)):
        began = monotonic()
        for _ in range(RUNS):
            timed.run(inputs())
        seen[f"{name}_ms"] = round(1000 * (monotonic() - began) / RUNS, 3)
    return seen


def cuda(folder: Path) -> dict[str, Any]:
    return run(folder, {"providers": ["cuda"]}, 1e-2)  # TF32 on newer devices


def tensorrt(folder: Path) -> dict[str, Any]:
    """Twice: the second time the engines must come from where they were kept."""
    settings = {"providers": ["tensorrt", "cuda"], "tensorrt": PROFILE}
    first = run(folder, settings, 1e-2)
    kept = [path.name for path in (folder / "built" / name_build()).glob("*.engine")]
    assert kept, "no engine was kept"
    second = run(folder, settings, 1e-2)
    assert second["opened_s"] < first["opened_s"], f"opening took {second['opened_s']} s again: nothing was kept"
    return {**first, "opened_again_s": second["opened_s"], "engines": kept}


def tensorrt_fp16(folder: Path) -> dict[str, Any]:
    return run(folder, {"providers": ["tensorrt", "cuda"], "tensorrt": {**PROFILE, "fp16": True}}, 0.1)


def hidden_device(folder: Path) -> dict[str, Any]:
    """Where the device can't be seen, a session must not fall back to the processor."""
    graph = save_graph(folder / "model.onnx")
    told = {}
    for provider in ("cuda", "tensorrt"):
        try:
            OnnxEngine(
                graph, EngineSettings.model_validate({"providers": [provider]}), threads=1, built=folder / "built"
            )
        except ProviderMissing as error:
            told[provider] = str(error)
        else:
            raise AssertionError(f"{provider} fell back to the processor without a word")
    return told


def trial(folder: Path) -> dict[str, Any]:
    """A version's trial load, in a process of its own, from a Triton repository that asks for a GPU."""
    (folder / "net/1").mkdir(parents=True)
    save_graph(folder / "net/1/model.onnx")
    (folder / "net/config.pbtxt").write_text("max_batch_size: 64 instance_group [ { kind: KIND_GPU } ]")
    manifest = import_model(folder / "net").manifest
    assert manifest.engine.providers == ("cuda",)
    warning = asyncio.run(run_trial(manifest, folder / "net/1", threads=4, timeout_s=100))
    return {"warning": warning}


CHECKS: Final[dict[str, Callable[[Path], dict[str, Any]]]] = {
    check.__name__: check for check in (cuda, tensorrt, tensorrt_fp16, hidden_device, trial)
}
LIMIT_S: Final = 110.0


def attempt(name: str) -> dict[str, Any]:
    """The check in a process of its own: what it saw, or what went wrong."""
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if name == "hidden_device" else {}
    command = [sys.executable, "-m", "loadtests.gpu", "--check", name]
    began = monotonic()
    try:
        done = subprocess.run(command, env={**os.environ, **hidden}, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return {"passed": False, "error": f"took longer than {LIMIT_S:g} s"}
    seconds = round(monotonic() - began, 1)
    if done.returncode == 0:
        return {"passed": True, "seconds": seconds, **json.loads(done.stdout.splitlines()[-1])}
    return {"passed": False, "seconds": seconds, "status": done.returncode, "error": done.stderr[-2000:]}


def release(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="where to write what was seen (gpu.json)")
    parser.add_argument("--check", choices=CHECKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(CHECKS[options.check](Path(folder))))
        return
    devices = sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*"))
    if not devices:
        print("there is no GPU on this machine (no /dev/nvidia0): nothing was tried", file=sys.stderr)
        sys.exit(NO_GPU)
    seen: dict[str, Any] = {"device": name_build(), "packages": {package: release(package) for package in PACKAGES}}
    for name in CHECKS:
        seen[name] = attempt(name)
        print(f"{'ok ' if seen[name]['passed'] else 'BUG'} {name} {json.dumps(seen[name])}", flush=True)
        options.out.write_text(json.dumps(seen, indent=2))  # after each, so that a machine that is taken away tells too
    sys.exit(0 if all(seen[name]["passed"] for name in CHECKS) else 1)


if __name__ == "__main__":
    main()
