"""Decoders with weights of four bits, a few of eight, in the form that onnxruntime-genai generates text with."""

import contextlib
import io
import logging
import tempfile
from pathlib import Path
from typing import Final

# The matrices that suffer most get eight bits. With four for all, rounded to nearest, the perplexity of a SmolLM2-135M
# went from 12.0 to 18.0 (on 12 rows of recipes/chat.yaml); this way to 14.2.
_ALGORITHM: Final = "algo_config=k_quant_mixed"
_KEPT: Final = (".data", ".jinja", ".json", ".model", ".onnx", ".txt")


def to_int4(trained: Path, folder: Path) -> None:
    """Write `model.onnx`, its weights and `genai_config.json` into `folder`, of the Hugging Face folder `trained`.

    Raises what the builder does: it knows the decoders of its own list.
    """
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    for library in ("onnxruntime.quantization", "neural_compressor"):
        logging.getLogger(library).setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="headrace-genai-") as cache, contextlib.redirect_stdout(io.StringIO()):
        places = None, str(trained), str(folder), "int4", "cpu", cache
        create_model(*places, **parse_extra_options(*places, extra_options=[_ALGORITHM]))
    for path in folder.iterdir():
        if path.is_file() and path.suffix not in _KEPT:
            path.unlink()
