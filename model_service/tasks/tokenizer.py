"""Texts to tokens, as an artifact's tokenizer and its section `text` have it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from tokenizers import Encoding, Tokenizer

from model_service.engines.base import EngineError
from storage.manifest import TextSettings
from wire.errors import InvalidInput

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


@dataclass(frozen=True, slots=True)
class Padding:
    """What stands in for tokens where a neighbour in the batch is longer; `left`: before them, else behind them."""

    left: bool
    id: int
    type_id: int


class TextTokenizer:
    """A tokenizer that cuts texts at `max_length` tokens, at the end or, where the settings say so, at the beginning.

    Of a long text only as much is read as that takes. `offsets` keeps where in its text each token stands.
    """

    def __init__(self, folder: Path, settings: TextSettings, *, offsets: bool = False) -> None:
        self._tokenizer = _open(folder / settings.tokenizer, settings)
        self.padding = _padding(self._tokenizer, settings)
        self._tokenizer.no_padding()
        self._offsets = offsets
        self._side = settings.truncation_side or _direction(self._tokenizer.truncation)
        self._cut: Callable[[str, int], str] = _tail if self._side == "left" else _head
        self.limit(settings.max_length)

    def limit(self, max_length: int) -> None:
        """From here on texts are cut at so many tokens."""
        self.max_length = max_length
        self._read = max(_READ_AT_LEAST, _READ_PER_TOKEN * max_length)
        self._tokenizer.enable_truncation(max_length, direction=self._side)

    def encode(self, texts: Sequence[str], name: str, *, truncate: bool = True) -> list[Encoding]:
        """What each text becomes. Raises InvalidInput, with the row of the input `name`, where one cannot be read.

        A text that would be cut is refused unless it may: `truncate`.
        """
        encodings: list[Encoding] = []
        for parts in _portions(self._cut(text, self._read) for text in texts):
            for part, encoding in zip(parts, self._encode(parts, len(encodings), name), strict=True):
                row = len(encodings)
                if len(part) < len(texts[row]):
                    encoding = self._read_on(row, name, texts[row], encoding)
                if not truncate and encoding.overflowing:
                    least = "" if part == texts[row] else "at least "
                    raise InvalidInput(
                        f"row {row} of '{name}' has {least}{self._length(encoding)} tokens, the model takes"
                        f" {self.max_length}: shorten it, or leave out the parameter 'truncate' to have it cut"
                    )
                if not len(encoding):
                    raise InvalidInput(f"row {row} of '{name}' holds no tokens")
                encodings.append(encoding)
        return encodings

    def prefix_length(self, prefix: str) -> int:
        """How many tokens a text begins with for this prefix, what the tokenizer puts before all texts included."""
        encoding = self._tokenizer.encode(prefix)
        ends = bool(len(encoding)) and encoding.special_tokens_mask[-1]  # with what it puts behind all texts
        return len(encoding) - int(ends)

    def _encode(self, texts: list[str], first: int, name: str) -> list[Encoding]:
        """The encodings of the texts in the rows from `first`."""
        try:
            return self._encode_batch(texts)
        except BaseException as error:
            if not _of_the_tokenizer(error):
                raise
            if len(texts) == 1:
                raise InvalidInput(
                    f"row {first} of '{name}': the model's tokenizer fails on this text: {str(error) or repr(error)}"
                ) from error
        return [encoding for row, text in enumerate(texts, first) for encoding in self._encode([text], row, name)]

    def _encode_batch(self, texts: list[str]) -> list[Encoding]:
        # The fast form leaves out the offsets.
        return self._tokenizer.encode_batch(texts) if self._offsets else self._tokenizer.encode_batch_fast(texts)

    def _read_on(self, row: int, name: str, text: str, encoding: Encoding) -> Encoding:
        """The encoding of `text`, of which `encoding` has read a part: the tokens that are kept are those of all of it.

        So they are once twice as many tokens were read as the model takes: where the text was broken off is then too
        far away to matter to those that are kept.
        """
        read, most = self._read, max(self._read, _READ_AT_MOST)
        while read < len(text) and self._length(encoding) < 2 * self.max_length:
            if read == most:
                raise InvalidInput(
                    f"row {row} of '{name}' has {len(text)} characters, but no {2 * self.max_length}"
                    f" tokens among the {'last' if self._side == 'left' else 'first'} {most}: shorten it"
                )
            read = min(_READ_MORE * read, most)
            (encoding,) = self._encode([self._cut(text, read)], row, name)
        return encoding

    def _length(self, encoding: Encoding) -> int:
        """How many tokens the text had before it was cut."""
        special = self._tokenizer.num_special_tokens_to_add(False)
        return len(encoding) + sum(len(part) - special for part in encoding.overflowing)


def _open(path: Path, settings: TextSettings) -> Tokenizer:
    try:
        if not settings.tokenizer_sections:
            return Tokenizer.from_file(str(path))
        document = {**orjson.loads(path.read_bytes()), **settings.tokenizer_sections}
        return Tokenizer.from_str(orjson.dumps(document).decode())
    except BaseException as error:
        if not _of_the_tokenizer(error):
            raise
        raise EngineError(f"{settings.tokenizer} is no tokenizer of the tokenizers library: {error}") from error


def _padding(tokenizer: Tokenizer, settings: TextSettings) -> Padding:
    if (pad_id := settings.pad_id) is None:
        if tokenizer.padding is not None:
            pad_id = tokenizer.padding["pad_id"]
        else:
            found = (tokenizer.token_to_id(token) for token in _PAD_TOKENS)
            pad_id = next((pad for pad in found if pad is not None), 0)
    side = settings.padding_side or _direction(tokenizer.padding)
    return Padding(side == "left", pad_id, settings.pad_type_id)


def _direction(section: dict[str, Any] | None) -> str:
    """On which side a tokenizer's section for truncation or padding has it done: at the end unless it says so."""
    return "right" if section is None else str(section["direction"]).lower()


def _of_the_tokenizer(error: BaseException) -> bool:
    """Whether this is trouble in the tokenizer: a plain Exception, or a panic of its Rust code, which is none."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _head(text: str, length: int) -> str:
    """The first `length` characters of `text`, less the word that they break off unless it is most of them."""
    if len(text) <= length:
        return text
    end = max(text.rfind(" ", length // 2, length), text.rfind("\n", length // 2, length))
    return text[: end if end > 0 else length]


def _tail(text: str, length: int) -> str:
    """The last `length` characters of `text`, less the word that they break off unless it is most of them."""
    if len(text) <= length:
        return text
    first, middle = len(text) - length, len(text) - length // 2
    found = [at for at in (text.find(" ", first, middle), text.find("\n", first, middle)) if at >= 0]
    return text[min(found, default=first) :]


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
