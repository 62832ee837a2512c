"""What all text tasks share: texts in, tokens to the graph."""

from collections.abc import Iterable, Iterator, Sequence
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

# Tokenising takes 50 to 100 bytes of memory a character, so a text that will be cut is not read to its end. Languages
# have 1 to 6 characters a token: this many for each token that the model takes are nearly always enough.
_READ_PER_TOKEN: Final = 16
_READ_AT_LEAST: Final = 4096
_READ_MORE: Final = 8
# A text of so many characters that still does not fill the model is refused: blanks, or one word without an end.
_READ_AT_MOST: Final = 1 << 20
# Characters that are tokenised at once.
_PORTION: Final = 1 << 18


class TextTask:
    """Tokenises the one public input, BYTES `[n]` or `[n, 1]` of UTF-8, and makes padded batches of the tokens.

    An item is one text, as long as its tokens; its features are what the graph asks for, `[length]` each. A text of
    more than `max_length` tokens is cut, unless the request's parameter `truncate` is false: then it is refused. Of
    a long text only as much is read as that takes.
    `offsets` keeps what leads from tokens back to the text: `offsets` `[length, 2]` in characters and `special`
    `[length]`, true for tokens that stand for no text.
    """

    def __init__(self, manifest: Manifest, folder: Path, engine: Engine, *, offsets: bool = False) -> None:
        assert manifest.text is not None  # the manifest checks that text tasks have it
        self._input, self._output = manifest.inputs[0], manifest.outputs[0]
        self._max_length = manifest.text.max_length
        self._read = max(_READ_AT_LEAST, _READ_PER_TOKEN * self._max_length)
        self._offsets = offsets
        self._dtypes = _graph_inputs(engine)
        self._tokenizer, self._pad_id = _open_tokenizer(folder, manifest.text)

    def rows(self, request: InferRequest) -> int:
        return request.inputs[0].rows if request.inputs else 0

    def prepare(self, request: InferRequest) -> list[Item]:
        texts, truncate = self.texts(request), _flag(request, "truncate", default=True)
        items: list[Item] = []
        for heads in _portions(_head(text, self._read) for text in texts):
            for head, encoding in zip(heads, self._encode(heads), strict=True):
                row = len(items)
                if len(head) < len(texts[row]):
                    encoding = self._read_on(row, texts[row], encoding)
                if not truncate and encoding.overflowing:
                    least = "" if head == texts[row] else "at least "
                    raise InvalidInput(
                        f"row {row} of '{self._input.name}' has {least}{self._length(encoding)} tokens, the model takes"
                        f" {self._max_length}: shorten it, or leave out the parameter 'truncate' to have it cut"
                    )
                if not len(encoding):
                    raise InvalidInput(f"row {row} of '{self._input.name}' holds no tokens")
                items.append(self._item(encoding))
        return items

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

    def _read_on(self, row: int, text: str, encoding: Encoding) -> Encoding:
        """The encoding of `text`, of which `encoding` has read the beginning: the first tokens are those of all of it.

        So they are once twice as many tokens were read as the model takes: where the text was broken off is then too
        far away to matter to those that are kept.
        """
        read, most = self._read, max(self._read, _READ_AT_MOST)
        while read < len(text) and self._length(encoding) < 2 * self._max_length:
            if read == most:
                raise InvalidInput(
                    f"row {row} of '{self._input.name}' has {len(text)} characters, but no {2 * self._max_length}"
                    f" tokens among the first {most}: shorten it"
                )
            read = min(_READ_MORE * read, most)
            (encoding,) = self._encode([_head(text, read)])
        return encoding

    def _length(self, encoding: Encoding) -> int:
        """How many tokens the text had before it was cut."""
        special = self._tokenizer.num_special_tokens_to_add(False)
        return len(encoding) + sum(len(part) - special for part in encoding.overflowing)

    def _item(self, encoding: Encoding) -> Item:
        features: Arrays = {}
        for name, dtype in self._dtypes.items():
            if name != _MASK:
                features[name] = np.array(encoding.ids if name == _IDS else encoding.type_ids, dtype)
        if self._offsets:
            features["offsets"] = np.array(encoding.offsets, np.int64)
            features["special"] = np.array(encoding.special_tokens_mask, np.bool_)
        return Item(features, length=len(encoding))


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


def _head(text: str, length: int) -> str:
    """The first `length` characters of `text`, less the word that they break off unless it is most of them."""
    if len(text) <= length:
        return text
    end = max(text.rfind(" ", length // 2, length), text.rfind("\n", length // 2, length))
    return text[: end if end > 0 else length]


def _portions(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in lists of up to `_PORTION` characters, or of one text that has more."""
    portion: list[str] = []
    size = 0
    for text in texts:
        if portion and size + len(text) > _PORTION:
            yield portion
            portion, size = [], 0
        portion.append(text)
        size += len(text)
    yield portion


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
