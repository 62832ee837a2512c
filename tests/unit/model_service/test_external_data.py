"""Weights from outside of a model's folder: refused by the import, and by the engine, should one get that far."""

from pathlib import Path

import numpy as np
import pytest

from model_service.engines.base import EngineError
from model_service.engines.onnx import OnnxEngine
from storage.errors import InvalidArtifact
from storage.importers import import_model
from storage.manifest import EngineSettings
from tests.unit.storage.import_sources import external, save, with_weight

SECRET = np.array([41, 42], np.float32)


def hostile(folder: Path, location: str) -> Path:
    """A graph that adds weights from `location`, in a folder of which those lie outside."""
    (folder.parent / "secret").write_bytes(SECRET.tobytes())
    folder.mkdir()
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "up").symlink_to(folder.parent)
    return save(with_weight(external("w", location)), folder / "model.onnx")


@pytest.fixture(params=["../secret", "absolute", "link", "up/secret", "up/../../secret"])
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    location = str(tmp_path / "secret") if request.param == "absolute" else request.param
    return hostile(tmp_path / "model", location)


def test_the_import_refuses_them(graph: Path) -> None:
    with pytest.raises(InvalidArtifact, match=r"plain path inside the model's own folder|leads over a link"):
        import_model(graph)


def test_the_engine_refuses_them(graph: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot load model\.onnx"):
        OnnxEngine(graph, EngineSettings(), threads=1)


def test_the_engine_loads_the_same_bytes_from_inside(tmp_path: Path) -> None:
    graph = hostile(tmp_path / "model", "weights")
    (graph.parent / "weights").write_bytes(SECRET.tobytes())
    answer = OnnxEngine(graph, EngineSettings(), threads=1).run({"x": np.zeros((1, 2), np.float32)})
    assert answer["y"].tolist() == [[41, 42]]
