"""Decoders with weights of four bits, in the form that onnxruntime-genai generates text with."""

import contextlib
import io
import logging
import tempfile
from pathlib import Path
from typing import Final

_KEPT: Final = (".data", ".jinja", ".json", ".model", ".onnx", ".txt")


def to_int4(trained: Path, folder: Path) -> None:
    """Write `model.onnx`, its weights and `genai_config.json` into `folder`, of the Hugging Face folder `trained`.

    Raises what the builder does: it knows the decoders of its own list.
    """
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    logging.getLogger("onnxruntime.quantization").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="headrace-genai-") as cache, contextlib.redirect_stdout(io.StringIO()):
        places = None, str(trained), str(folder), "int4", "cpu", cache
        create_model(*places, **parse_extra_options(*places, extra_options=[]))
    for path in folder.iterdir():
        if path.is_file() and path.suffix not in _KEPT:
            path.unlink()
