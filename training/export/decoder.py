"""Decoders with weights of four bits, in the form that onnxruntime-genai generates text with."""

import contextlib
import io
import tempfile
from pathlib import Path

# Where this many weights share a scale. The builder's own default.
_KEPT = (".json", ".jinja", ".model", ".onnx", ".data", ".txt")


def to_int4(trained: Path, folder: Path) -> None:
    """Write `model.onnx`, its weights and `genai_config.json` into `folder`, of the Hugging Face folder `trained`.

    Raises what the builder does: it knows the decoders of its own list.
    """
    from onnxruntime_genai.models.builder import create_model

    with tempfile.TemporaryDirectory(prefix="headrace-genai-") as cache, contextlib.redirect_stdout(io.StringIO()):
        create_model(
            model_name=None,
            input_path=str(trained),
            output_dir=str(folder),
            precision="int4",
            execution_provider="cpu",
            cache_dir=cache,
        )
    for path in folder.iterdir():
        if path.is_file() and path.suffix not in _KEPT:
            path.unlink()
