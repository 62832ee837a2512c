from pathlib import Path

import numpy as np
import onnxruntime
import orjson
import pytest

from storage.manifest import Manifest
from training.demo import digits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    digits.build(folder)
    return folder


@pytest.fixture(scope="module")
def session(folder: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])


def test_the_manifest_is_that_of_the_files_beside_it(folder: Path) -> None:
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    assert sorted(file.path for file in manifest.files) == ["golden.json", "model.onnx"]
    for file in manifest.files:
        assert (folder / file.path).stat().st_size == file.size


def test_building_twice_gives_the_same_artifact(folder: Path, tmp_path: Path) -> None:
    first = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    assert digits.build(tmp_path).digest == first.digest


def test_the_exported_graph_reaches_the_stated_accuracy_on_images_it_has_not_seen(
    folder: Path, session: onnxruntime.InferenceSession
) -> None:
    pixels, labels = digits.held_out()
    (answers,) = session.run(["label"], {"pixels": pixels})
    accuracy = float(np.mean(answers == labels))
    assert accuracy >= 0.95
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    assert manifest.metrics["accuracy"] == pytest.approx(accuracy)


def test_nothing_held_out_was_trained_on() -> None:
    train_pixels, pixels, _, _ = digits.load()
    seen = {image.tobytes() for image in train_pixels}
    assert not any(image.tobytes() in seen for image in pixels)


def test_golden_answers_are_probabilities_that_the_graph_gives(
    folder: Path, session: onnxruntime.InferenceSession
) -> None:
    golden = orjson.loads((folder / "golden.json").read_bytes())
    assert len(golden["cases"]) == digits.GOLDEN_CASES
    for case in golden["cases"]:
        (given,), (expected,) = case["inputs"], case["outputs"]
        pixels = np.array(given["data"], np.float32).reshape(given["shape"])
        (got,) = session.run([expected["name"]], {given["name"]: pixels})
        assert list(got.shape) == expected["shape"]
        assert sum(expected["data"]) == pytest.approx(1)
        np.testing.assert_allclose(got.ravel(), expected["data"], atol=golden["tolerance"])
