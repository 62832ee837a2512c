"""Smaller numbers for the weights, and where it is faster for the rest."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from training.tasks.base import Arrays

# The products, which take the time. What stands between them keeps its precision, and costs little.
_PRODUCTS = ["Conv", "Gemm", "MatMul"]


def to_int8(source: Path, target: Path) -> None:
    """Weights in int8; what they are multiplied with is quantised as it comes, over the whole batch."""
    with _prepared(source) as graph:
        # Convolutions of int8 by uint8 exist for unsigned weights alone.
        convolves = any(node.op_type == "Conv" for node in onnx.load(graph, load_external_data=False).graph.node)
        kind = QuantType.QUInt8 if convolves else QuantType.QInt8
        quantize_dynamic(graph, target, weight_type=kind, per_channel=not convolves)


def to_int8_static(source: Path, target: Path, batches: Iterable[Arrays]) -> None:
    """Weights in int8, and what they are multiplied with too, at a scale that `batches` of real inputs tell."""
    with _prepared(source) as graph:
        needed = {value.name for value in onnx.load(graph, load_external_data=False).graph.input}
        quantize_static(
            graph,
            target,
            _Batches({name: array for name, array in batch.items() if name in needed} for batch in batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_PRODUCTS,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )


def to_fp16(source: Path, target: Path) -> None:
    """Half precision inside; the inputs and outputs stay as they are."""
    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True, disable_shape_infer=True), target)


class _Batches(CalibrationDataReader):
    def __init__(self, batches: Iterable[Arrays]) -> None:
        self._batches: Iterator[Arrays] = iter(batches)

    def get_next(self) -> Any:
        return next(self._batches, None)


class _prepared:
    """A copy of the graph with shapes inferred, which the quantisers ask for."""

    def __init__(self, source: Path) -> None:
        self._source = source

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="headrace-quantise-")
        target = Path(self._folder.name) / "model.onnx"
        quant_pre_process(self._source, target, skip_symbolic_shape=True)
        return target

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()
