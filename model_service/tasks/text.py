"""What all text tasks share: texts in, tokens to the graph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from tokenizers import Encoding, Tokenizer

from model_service.engines.base import NUMPY_DTYPES, Arrays, Engine, EngineError
from model_service.protocol.errors import InvalidInput
from model_service.protocol.messages import InferRequest
from model_service.tasks.base import Item
from storage.manifest import Manifest, TextSettings

# What a graph may ask for of each token.
_IDS: Final = "input_ids"
_MASK: Final = "attention_mask"
_TYPES: Final = "token_type_ids"
_PAD_TOKENS: Final = ("[PAD]", "<pad>", "<|endoftext|>")


class TextTask:
    """Tokenises the one public input, BYTES `[n]` or `[n, 1]` of UTF-8, and makes padded batches of the tokens.

    An item is one text, as long as its tokens; its features are what the graph asks for, `[length]` each. A text of
    more than `max_length` tokens is cut, unless the request's parameter `truncate` is false: then it is refused.
    `offsets` keeps what leads from tokens back to the text: `offsets` `[length, 2]` in characters and `special`
    `[length]`, true for tokens that stand for no text.
    """

    def __init__(self, manifest: Manifest, folder: Path, engine: Engine, *, offsets: bool = False) -> None:
        assert manifest.text is not None  # the manifest checks that text tasks have it
        self._input, self._output = manifest.inputs[0], manifest.outputs[0]
        self._max_length = manifest.text.max_length
        self._offsets = offsets
        self._dtypes = _graph_inputs(engine)
        self._tokenizer, self._pad_id = _open_tokenizer(folder, manifest.text)

    def prepare(self, request: InferRequest) -> list[Item]:
        encodings = self._encode(self.texts(request))
        if not _flag(request, "truncate", default=True):
            self._refuse_truncated(encodings)
        if empty := [row for row, encoding in enumerate(encodings) if not len(encoding)]:
            raise InvalidInput(f"row {empty[0]} of '{self._input.name}' holds no tokens")
        return [self._item(encoding) for encoding in encodings]

    def collate(self, items: Sequence[Item]) -> Arrays:
        shape = len(items), max(item.length for item in items)
        batch = {
            name: np.full(shape, self._pad_id if name == _IDS else 0, dtype) for name, dtype in self._dtypes.items()
        }
        for name, rows in batch.items():
            for row, item in zip(rows, items, strict=True):
                row[: item.length] = 1 if name == _MASK else item.features[name]
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

    def _encode(self, texts: list[str]) -> list[Encoding]:
        # The fast form leaves out the offsets.
        return self._tokenizer.encode_batch(texts) if self._offsets else self._tokenizer.encode_batch_fast(texts)

    def _item(self, encoding: Encoding) -> Item:
        features: Arrays = {}
        for name, dtype in self._dtypes.items():
            if name != _MASK:
                features[name] = np.array(encoding.ids if name == _IDS else encoding.type_ids, dtype)
        if self._offsets:
            features["offsets"] = np.array(encoding.offsets, np.int64)
            features["special"] = np.array(encoding.special_tokens_mask, np.bool_)
        return Item(features, length=len(encoding))

    def _refuse_truncated(self, encodings: Sequence[Encoding]) -> None:
        special = self._tokenizer.num_special_tokens_to_add(False)
        for row, encoding in enumerate(encodings):
            if encoding.overflowing:
                length = len(encoding) + sum(len(part) - special for part in encoding.overflowing)
                raise InvalidInput(
                    f"row {row} of '{self._input.name}' has {length} tokens, the model takes {self._max_length}:"
                    " shorten it, or leave out the parameter 'truncate' to have it cut"
                )


def graph_output(engine: Engine, rank: int, *names: str) -> str:
    """The graph's output of that rank: the first of `names` that it has, or else the only one of that rank.

    Raises EngineError where neither is there.
    """
    ranked = [spec.name for spec in engine.outputs if len(spec.shape) == rank]
    if name := next((name for name in names if name in ranked), ranked[0] if len(ranked) == 1 else None):
        return name
    present = ", ".join(f"'{spec.name}' {list(spec.shape)}" for spec in engine.outputs)
    raise EngineError(
        f"the task needs an output of {rank} dimensions, named {' or '.join(names)}; the graph has {present}"
    )


def _graph_inputs(engine: Engine) -> dict[str, np.dtype[Any]]:
    dtypes: dict[str, np.dtype[Any]] = {}
    for spec in engine.inputs:
        if spec.name not in (_IDS, _MASK, _TYPES) or spec.datatype not in ("INT32", "INT64"):
            raise EngineError(
                f"the graph asks for '{spec.name}' ({spec.datatype}); a text task gives {_IDS}, {_MASK} and {_TYPES},"
                " INT32 or INT64"
            )
        if spec.shape != (-1, -1):
            raise EngineError(
                f"the graph's '{spec.name}' has shape {list(spec.shape)}: export it with batch and length of any size"
            )
        dtypes[spec.name] = NUMPY_DTYPES[spec.datatype]
    return dtypes


def _open_tokenizer(folder: Path, settings: TextSettings) -> tuple[Tokenizer, int]:
    try:
        tokenizer = Tokenizer.from_file(str(folder / settings.tokenizer))
        padding = tokenizer.padding
        tokenizer.no_padding()
        tokenizer.enable_truncation(settings.max_length)
    except Exception as error:  # the library raises nothing more special
        raise EngineError(f"{settings.tokenizer} is no tokenizer of the tokenizers library: {error}") from error
    if padding is not None:
        return tokenizer, padding["pad_id"]
    found = (tokenizer.token_to_id(token) for token in _PAD_TOKENS)
    return tokenizer, next((pad for pad in found if pad is not None), 0)


def _flag(request: InferRequest, name: str, *, default: bool) -> bool:
    value = request.parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f"parameter '{name}' must be true or false, not {value!r:.40}")
    return value
