"""Handwritten digits: the demo classifier over scikit-learn's 8 x 8 images. Trained in a second, without torch."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from storage.manifest import Manifest
from training.export.manifest import GOLDEN, versions, write_golden, write_manifest

MODEL: Final = "model.onnx"
SEED: Final = 7
GOLDEN_CASES: Final = 8
TOLERANCE: Final = 1e-4
_OPSET: Final = {"": 21, "ai.onnx.ml": 3}


def load() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Pixels for training and held out, FP32 `[n, 64]` from 0 to 16, then the labels of each: the same every time."""
    pixels, labels = load_digits(return_X_y=True)
    split = train_test_split(pixels.astype(np.float32), labels, test_size=0.25, random_state=SEED, stratify=labels)
    return tuple(split)


def held_out() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Pixels and labels that the classifier has not seen."""
    _, pixels, _, labels = load()
    return pixels, labels


def build(folder: Path) -> Manifest:
    """Train, export and write the artifact into `folder`; its metrics say the accuracy on held-out images.

    Raises RuntimeError where the exported graph does not answer what the trained model does.
    """
    train_pixels, pixels, train_labels, labels = load()
    classifier = make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=400, random_state=SEED))
    classifier.fit(train_pixels, train_labels)
    graph = to_onnx(
        classifier,
        initial_types=[("pixels", FloatTensorType([None, train_pixels.shape[1]]))],
        options={"zipmap": False},
        target_opset=_OPSET,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(graph.SerializeToString())

    expected = classifier.predict_proba(pixels)
    _check_parity(folder / MODEL, pixels, expected)
    cases = [
        (
            {"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": image.tolist()},
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 10], "data": probabilities.tolist()},
        )
        for image, probabilities in zip(pixels[:GOLDEN_CASES], expected[:GOLDEN_CASES], strict=True)
    ]
    write_golden(folder, cases, TOLERANCE)
    return write_manifest(folder, [MODEL, GOLDEN], _fields(float(classifier.score(pixels, labels)), len(labels)))


def _fields(accuracy: float, tested: int) -> dict[str, Any]:
    return {
        "name": "digits",
        "task": "tabular",
        "model": MODEL,
        "description": "Which digit an 8 x 8 image of handwriting shows: greys from 0 to 16 in, ten probabilities out.",
        "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
        ],
        "batching": {"max_rows": 64, "max_tokens": 0},
        "golden": GOLDEN,
        "metrics": {"accuracy": accuracy, "held_out": float(tested)},
        "provenance": {
            "data": "sklearn.datasets.load_digits",
            "seed": SEED,
            "packages": versions("numpy", "onnx", "scikit-learn", "skl2onnx"),
        },
    }


def _check_parity(model: Path, pixels: NDArray[np.float32], expected: NDArray[np.float64]) -> None:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"pixels": pixels})
    if (worst := float(np.abs(probabilities - expected).max())) > TOLERANCE:
        raise RuntimeError(
            f"the exported graph's probabilities are {worst:.2g} from scikit-learn's, beyond {TOLERANCE}"
        )
