from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import run
from sys import executable

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from model_service.engines.base import EngineError, ProviderMissing
from model_service.engines.onnx import OnnxEngine
from model_service.engines.open import open_engine
from storage.manifest import EngineSettings
from tests.unit.model_service.graphs import manifest, save_graph, save_identity


def engine(path: Path, **settings: object) -> OnnxEngine:
    return OnnxEngine(path, EngineSettings.model_validate(settings), threads=1)


def objects(*elements: bytes) -> np.ndarray:
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return save_identity(tmp_path / "model.onnx")


def test_inputs_and_outputs_are_those_of_the_graph(tmp_path: Path) -> None:
    path = save_graph(
        tmp_path / "model.onnx",
        [helper.make_node("Shape", ["pixels"], ["size"])],
        [("pixels", TensorProto.FLOAT16, ["n", 3, 8])],
        [("size", TensorProto.INT64, [3])],
    )
    opened = engine(path)
    assert [(spec.name, spec.datatype, spec.shape) for spec in opened.inputs] == [("pixels", "FP16", (-1, 3, 8))]
    assert [(spec.name, spec.datatype, spec.shape) for spec in opened.outputs] == [("size", "INT64", (3,))]


@pytest.mark.parametrize("level", ["none", "basic", "extended", "all"])
def test_runs_at_every_level_of_optimisation(identity: Path, level: str) -> None:
    x = np.array([[1.5, -2.0]], np.float32)
    np.testing.assert_array_equal(engine(identity, graph_optimization=level).run({"x": x})["y"], x)


def test_nan_and_infinity_pass_through(identity: Path) -> None:
    x = np.array([[np.nan, np.inf]], np.float32)
    np.testing.assert_array_equal(engine(identity).run({"x": x})["y"], x)


def test_read_only_and_strided_arrays_run(identity: Path) -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)[:, ::2]
    x.flags.writeable = False
    np.testing.assert_array_equal(engine(identity).run({"x": x})["y"], x)


def test_an_array_that_begins_at_an_odd_address_runs(identity: Path) -> None:
    odd = np.frombuffer(b"\0" + np.arange(6, dtype=np.float32).tobytes(), np.float32, 6, 1).reshape(3, 2)
    assert not odd.flags.aligned
    np.testing.assert_array_equal(engine(identity).run({"x": odd})["y"], odd)


def test_bytes_go_through_the_graph_s_strings_unchanged(tmp_path: Path) -> None:
    x = objects("naïve 😀".encode(), b"", b"zero \0 inside\0")
    y = engine(save_identity(tmp_path / "model.onnx", TensorProto.STRING, ["n"])).run({"x": x})["y"]
    assert y.tolist() == x.tolist()


@pytest.mark.parametrize(
    "feeds",
    [
        {"x": np.zeros((1, 3), np.float32)},
        {"x": np.zeros((1, 2), np.float64)},
        {"other": np.zeros((1, 2), np.float32)},
        {},
    ],
    ids=["dimension", "datatype", "name", "nothing"],
)
def test_what_the_runtime_refuses_is_an_engine_error_and_harms_no_later_run(
    identity: Path, feeds: dict[str, np.ndarray]
) -> None:
    opened = engine(identity)
    with pytest.raises(EngineError, match="ONNX Runtime"):
        opened.run(feeds)
    assert opened.run({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[1, 1]]


def test_a_string_that_is_not_utf_8_is_an_engine_error(tmp_path: Path) -> None:
    opened = engine(save_identity(tmp_path / "model.onnx", TensorProto.STRING, ["n"]))
    with pytest.raises(EngineError, match="utf-8"):
        opened.run({"x": objects(b"\xff")})


def test_several_threads_run_one_engine_at_once(identity: Path) -> None:
    opened = engine(identity)
    batches = [np.full((rows, 2), rows, np.float32) for rows in range(1, 40)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda x: opened.run({"x": x})["y"], batches))
    assert all(np.array_equal(answer, batch) for answer, batch in zip(answers, batches, strict=True))


@pytest.mark.parametrize(("provider", "name"), [("cuda", "CUDA"), ("tensorrt", "Tensorrt")])
def test_a_provider_that_is_not_here_is_refused_with_what_is_here_and_what_to_install(
    identity: Path, provider: str, name: str
) -> None:
    if f"{name}ExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip(f"{provider} is here")
    with pytest.raises(ProviderMissing, match=r"CPUExecutionProvider.*install 'headrace\[worker-"):
        engine(identity, providers=[provider, "cpu"])


def test_a_file_that_is_no_graph_is_an_engine_error(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(EngineError, match=r"cannot load model\.onnx") as caught:
        engine(tmp_path / "model.onnx")
    assert not isinstance(caught.value, ProviderMissing)


def test_a_file_that_is_missing_is_an_engine_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot load model\.onnx"):
        engine(tmp_path / "model.onnx")


def test_a_datatype_without_arrays_is_refused_at_load(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "model.onnx", TensorProto.BFLOAT16)
    with pytest.raises(EngineError, match=r"'x' is a tensor\(bfloat16\).*export"):
        engine(path)


def test_a_closed_engine_says_so(identity: Path) -> None:
    opened = engine(identity)
    opened.close()
    opened.close()
    with pytest.raises(EngineError, match="closed"):
        opened.run({"x": np.zeros((1, 2), np.float32)})


def test_failures_print_nothing(identity: Path) -> None:
    script = f"""
import numpy as np
from pathlib import Path
from model_service.engines.base import EngineError
from model_service.engines.onnx import OnnxEngine
from storage.manifest import EngineSettings
engine = OnnxEngine(Path({str(identity)!r}), EngineSettings(), threads=2)
try:
    engine.run({{"x": np.zeros((1, 3), np.float32)}})
except EngineError:
    pass
"""
    done = run([executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_runtime_is_imported_only_where_a_model_is_loaded() -> None:
    script = "import sys, model_service.engines.open; print('onnxruntime' in sys.modules)"
    assert run([executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_manifest_names_the_graph_s_file(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    save_identity(tmp_path / "onnx" / "graph.onnx")
    opened = open_engine(manifest(model="onnx/graph.onnx"), tmp_path, threads=1)
    assert [spec.name for spec in opened.outputs] == ["y"]
