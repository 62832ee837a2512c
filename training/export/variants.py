"""The variants of a graph: which there are, what their files are called, and how each is made."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from training.export.decoder import to_int4
from training.export.quantise import to_fp16, to_int8, to_int8_static
from training.recipe.export import Variant
from training.tasks.base import Arrays

# Under the names that transformers.js looks for, and onnxruntime-genai's folder.
FILES: Final[dict[Variant, str]] = {
    "fp32": "onnx/model.onnx",
    "fp16": "onnx/model_fp16.onnx",
    "int8": "onnx/model_quantized.onnx",
    "int8-static": "onnx/model_int8.onnx",
    "int4": "genai/model.onnx",
}


class VariantFailed(Exception):
    """A variant cannot be made of this model."""


def make(
    wanted: Sequence[Variant],
    folder: Path,
    plain: Path,
    fused: Path,
    trained: Path,
    calibration: Callable[[], Sequence[Arrays]],
    say: Callable[[str], None],
) -> dict[Variant, Path]:
    """Write each wanted variant to its place in `folder`.

    `plain` is the exported graph, `fused` the same with ONNX Runtime's operators: quantisation knows the patterns of
    the plain one, and what is left of them is fused when a worker loads it. Raises VariantFailed.
    """
    made = {}
    for variant in wanted:
        say(f"export: {variant}")
        target = folder / FILES[variant]
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _make(variant, target, plain, fused, trained, calibration)
        except Exception as error:  # each library has its own
            raise VariantFailed(f"{variant}: {type(error).__name__}: {error}") from error
        made[variant] = target
    return made


def _make(
    variant: Variant, target: Path, plain: Path, fused: Path, trained: Path, calibration: Callable[[], Any]
) -> None:
    match variant:
        case "fp32":
            target.write_bytes(fused.read_bytes())
        case "fp16":
            to_fp16(fused, target)
        case "int8":
            to_int8(plain, target)
        case "int8-static":
            to_int8_static(plain, target, calibration())
        case "int4":
            to_int4(trained, target.parent)
