"""An exported graph, to be asked as the torch model is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from training.tasks.base import Arrays, Run

_ERRORS = 3
_PAST = "past_key_values."  # what decoders with a cache call its parts


def session(path: Path, threads: int = 0) -> Run:
    """The graph as a Run, opened as a worker opens it, on all cores or so many. What it does not take is left out.

    A decoder's cache begins empty: a run is one reading of the text, from its beginning.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    opened = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    head = _head_size(path.parent / "genai_config.json")
    names = [output.name for output in opened.get_outputs() if not output.name.startswith("present.")]
    needed = {argument.name: argument for argument in opened.get_inputs()}

    def run(inputs: Arrays) -> Arrays:
        rows = len(next(iter(inputs.values())))
        feeds = {name: array for name, array in inputs.items() if name in needed}
        feeds |= {
            name: _make_empty(argument, rows, head) for name, argument in needed.items() if name.startswith(_PAST)
        }
        return dict(zip(names, map(_float, opened.run(names, feeds)), strict=True))

    return run


def alone(run: Run) -> Run:
    """`run` for one row at a time, each without the padding that its neighbours brought, as a lone request has it."""

    def one_by_one(inputs: Arrays) -> Arrays:
        answers = [run(trim(inputs, row)) for row in range(len(next(iter(inputs.values()))))]
        return {name: _stack([answer[name][0] for answer in answers]) for name in answers[0]}

    return one_by_one


def trim(inputs: Arrays, row: int) -> Arrays:
    """That row of a batch, as a batch of its own, without padding."""
    mask = inputs.get("attention_mask")
    if mask is None or mask.ndim != 2:
        return {name: array[row : row + 1] for name, array in inputs.items()}
    kept = np.flatnonzero(mask[row])
    span = slice(kept[0], kept[-1] + 1) if len(kept) else slice(0, 1)
    return {
        name: array[row : row + 1, span] if _is_padded(name, array, mask) else array[row : row + 1]
        for name, array in inputs.items()
    }


def _is_padded(name: str, array: NDArray[Any], mask: NDArray[Any]) -> bool:
    # What a decoder has written so far may be as long by chance.
    return array.shape[:2] == mask.shape and not name.startswith("decoder_")


def _make_empty(argument: Any, rows: int, head: int) -> NDArray[Any]:
    _, heads, _, size = argument.shape
    dtype = np.float16 if argument.type == "tensor(float16)" else np.float32
    return np.zeros((rows, heads, 0, size if isinstance(size, int) else head), dtype)


def _head_size(config: Path) -> int:
    # onnxruntime-genai's graphs leave it open, and say it beside the graph.
    return int(json.loads(config.read_text())["model"]["decoder"]["head_size"]) if config.is_file() else 0


def _float(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _stack(rows: list[NDArray[Any]]) -> NDArray[Any]:
    """Rows of different lengths one below the other, the shorter ones with zeros behind them."""
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    longest = tuple(max(sizes) for sizes in zip(*(row.shape for row in rows), strict=True))
    stacked = np.zeros((len(rows), *longest), rows[0].dtype)
    for place, row in zip(stacked, rows, strict=True):
        place[tuple(slice(size) for size in row.shape)] = row
    return stacked
