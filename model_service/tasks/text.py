"""What all text tasks share: texts in, tokens to the graph."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from tokenizers import Encoding

from model_service.engines.base import NUMPY_DTYPES, Array, Arrays, Engine, EngineError, OutOfMemory
from model_service.tasks.base import Item
from model_service.tasks.tokenizer import TextTokenizer
from storage.manifest import Manifest
from wire.errors import InvalidInput
from wire.messages import InferRequest
from wire.tasks.text import TRUNCATE

log = logging.getLogger(__name__)

# What a graph may ask for of each token.
_IDS: Final = "input_ids"
_MASK: Final = "attention_mask"
_TYPES: Final = "token_type_ids"
_POSITIONS: Final = "position_ids"
_KNOWN: Final = (_IDS, _MASK, _TYPES, _POSITIONS)
# The longest text that is tried before a version is ready: tables of positions end at 512 or 1024 as a rule, and what
# a longer text takes grows with the square of its length.
_TRIED: Final = 1024
_WORDS: Final = "the quick brown fox jumps over the lazy dog "


class TextTask:
    """Tokenises the one public input, BYTES `[n]` or `[n, 1]` of UTF-8, and makes padded batches of the tokens.

    An item is one text, as long as its tokens; its features are what the graph asks for, `[length]` each. A text of
    more tokens than the model takes is cut, unless the request's parameter `truncate` is false: then it is refused.
    The model takes the manifest's `max_length`, or what the graph can, where that is less. Without an attention mask a
    graph would take padding for text, so only texts of one length share a batch there.
    `offsets` keeps what leads from tokens back to the text: `offsets` `[length, 2]` in characters and `special`
    `[length]`, true for tokens that stand for no text.
    """

    def __init__(self, manifest: Manifest, folder: Path, engine: Engine, *, offsets: bool = False) -> None:
        assert manifest.text is not None  # the manifest checks that text tasks have it
        self._input, self._output = manifest.inputs[0], manifest.outputs[0]
        self._offsets = offsets
        self._dtypes = _graph_inputs(engine)
        self._first_position = manifest.text.first_position
        self._tokenizer = TextTokenizer(folder, manifest.text, offsets=offsets)
        padding = self._tokenizer.padding
        self._left = padding.left
        # What stands in the places before or behind a text's own tokens.
        self._padding = {_IDS: padding.id, _TYPES: padding.type_id, _POSITIONS: max(0, self._first_position - 1)}
        self._limit_to_graph(engine, manifest.name)

    def rows(self, request: InferRequest) -> int:
        return request.inputs[0].rows if request.inputs else 0

    def prepare(self, request: InferRequest) -> list[Item]:
        texts, truncate = self.texts(request), TRUNCATE.read(request.parameters)
        return [self._item(encoding) for encoding in self._tokenizer.encode(texts, self._input.name, truncate=truncate)]

    def collate(self, items: Sequence[Item]) -> Arrays:
        shape = len(items), max(item.length for item in items)
        batch = {name: np.full(shape, self._padding.get(name, 0), dtype) for name, dtype in self._dtypes.items()}
        for name, rows in batch.items():
            for row, item in zip(rows, items, strict=True):
                self._own(row, item)[:] = 1 if name == _MASK else item.features[name]
        return batch

    def texts(self, request: InferRequest) -> list[str]:
        """The request's texts, one a row. Raises InvalidInput where they are no texts."""
        name = self._input.name
        if [tensor.name for tensor in request.inputs] != [name]:
            came = ", ".join(repr(tensor.name) for tensor in request.inputs) or "nothing"
            raise InvalidInput(f"the model takes one input, '{name}' (BYTES, one text a row); {came} came")
        tensor = request.inputs[0]
        shape = tensor.shape
        if tensor.datatype != "BYTES" or len(shape) not in (1, 2) or shape[0] < 1 or shape[1:] not in ((), (1,)):
            raise InvalidInput(
                f"input '{name}' must be BYTES of shape [n] or [n, 1] with n of 1 or more,"
                f" not {tensor.datatype} of shape {list(shape)}"
            )
        texts = []
        for row, element in enumerate(tensor.elements()):
            try:
                texts.append(element.decode())
            except UnicodeDecodeError as error:
                raise InvalidInput(f"row {row} of '{name}' is not UTF-8: {error}") from error
        return texts

    def _own(self, values: Array, item: Item) -> Array:
        """Of a row of a padded batch, the places of the item's own tokens."""
        return values[len(values) - item.length :] if self._left else values[: item.length]

    def _item(self, encoding: Encoding) -> Item:
        features: Arrays = {}
        for name, dtype in self._dtypes.items():
            if name == _IDS:
                features[name] = np.array(encoding.ids, dtype)
            elif name == _TYPES:
                features[name] = np.array(encoding.type_ids, dtype)
            elif name == _POSITIONS:
                features[name] = self._positions(encoding).astype(dtype)
        if self._offsets:
            features["offsets"] = np.array(encoding.offsets, np.int64)
            features["special"] = np.array(encoding.special_tokens_mask, np.bool_)
        length = len(encoding)
        return Item(features, length=length, group=None if _MASK in self._dtypes else length)

    def _positions(self, encoding: Encoding) -> Array:
        """From 0 on; or as RoBERTa counts: from the one after the padding's, which a padding token in a text has."""
        first = self._first_position
        if first == 0:
            return np.arange(len(encoding))
        real = np.array(encoding.ids) != first - 1
        positions: Array = np.cumsum(real) * real + (first - 1)
        return positions

    def _limit_to_graph(self, engine: Engine, name: str) -> None:
        """Cut texts where the graph ends: what a tokenizer says, if anything, may be more than it has positions for."""
        promised = self._tokenizer.max_length
        longest = _longest(min(promised, _TRIED), lambda length: self._fits(engine, length))
        # Where none runs, it is not for its length: the warm-up will say why.
        if longest is None or longest == min(promised, _TRIED):
            self._tokenizer.limit(promised)
            return
        self._tokenizer.limit(longest)
        log.warning("%s: the graph takes texts of %d tokens, not of %d: longer ones are cut", name, longest, promised)

    def _fits(self, engine: Engine, length: int) -> bool:
        """Whether the graph runs a text of so many tokens."""
        self._tokenizer.limit(length)
        try:
            (encoding,) = self._tokenizer.encode([_WORDS * length], self._input.name)
            engine.run(self.collate([self._item(encoding)]))
        except OutOfMemory:
            raise
        except (EngineError, InvalidInput):
            return False
        return True


def _longest(most: int, fits: Callable[[int], bool]) -> int | None:
    """The largest length up to `most` that fits, where all below one that fits do too; None where not even 2 does."""
    # As a rule all fit, or the first one or two positions are kept for padding.
    if usual := next((length for length in range(most, max(most - 3, 1), -1) if fits(length)), None):
        return usual
    if most < 5 or not fits(2):
        return None
    found, above = 2, most - 2
    while above - found > 1:
        middle = (found + above) // 2
        found, above = (middle, above) if fits(middle) else (found, middle)
    return found


def graph_output(engine: Engine, rank: int, *names: str, named: str | None = None) -> str:
    """The graph's output `named`, or else that of that rank: the first of `names` that it has, or the only one.

    Raises EngineError where it is not there.
    """
    ranked = [spec.name for spec in engine.outputs if len(spec.shape) == rank]
    if named is not None:
        names, ranked = (named,), [name for name in ranked if name == named]
    if name := next((name for name in names if name in ranked), ranked[0] if len(ranked) == 1 else None):
        return name
    present = ", ".join(f"'{spec.name}' {list(spec.shape)}" for spec in engine.outputs)
    raise EngineError(
        f"the task needs an output of {rank} dimensions, named {' or '.join(names)}; the graph has {present}"
    )


def _graph_inputs(engine: Engine) -> dict[str, np.dtype[Any]]:
    dtypes: dict[str, np.dtype[Any]] = {}
    for spec in engine.inputs:
        if spec.name not in _KNOWN or spec.datatype not in ("INT32", "INT64"):
            raise EngineError(
                f"the graph asks for '{spec.name}' ({spec.datatype}); a text task gives {', '.join(_KNOWN)},"
                " INT32 or INT64"
            )
        if spec.shape != (-1, -1):
            raise EngineError(
                f"the graph's '{spec.name}' has shape {list(spec.shape)}: export it with batch and length of any size"
            )
        dtypes[spec.name] = NUMPY_DTYPES[spec.datatype]
    return dtypes
