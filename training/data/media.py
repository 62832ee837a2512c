"""Images and sounds of rows. Each is decoded once here, as training will: a header says nothing of what follows it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from training.data.value import Missing, name_kind

_STREAMED: Final = 0x7FFF0000  # from here on, the size in a WAV's header is what programs write that don't know it


def image(value: Any, folder: Path) -> dict[str, Any]:
    """As `datasets.Image` stores it."""
    from datasets import Image as Decoder
    from PIL import Image

    found = _file(value, folder)
    data = _bytes(found)
    with _explain_errors("image"):
        Image.open(io.BytesIO(data)).verify()  # the check sums of a PNG, at which decoding does not look
        Decoder().decode_example({"path": None, "bytes": data})
    return found


def audio(value: Any, folder: Path) -> dict[str, Any]:
    """As `datasets.Audio` stores it, always with its bytes."""
    import soundfile

    data = _bytes(_file(value, folder))
    with _explain_errors("audio"):
        told = soundfile.info(io.BytesIO(data))
        samples = len(soundfile.read(io.BytesIO(data), dtype="float32")[0])
        if not samples:
            raise ValueError("it has no samples")
        known = told.format != "MP3" or _counts_its_frames(data)
        if (known and samples < told.frames) or _lacks_its_end(data):
            raise ValueError(f"it is cut short, after {samples} samples")
    return {"path": None, "bytes": data}


def _file(value: Any, folder: Path) -> dict[str, Any]:
    match value:
        case str() if not value.strip():
            raise Missing("is empty")
        case str() if not (folder / value).is_file():
            raise ValueError(f"is {value!r}, but {folder / value} is not a file")
        case str():
            return {"path": str(folder / value), "bytes": None}
        case bytes():
            return {"path": None, "bytes": value}
        case {"path": None | "", "bytes": None}:
            raise Missing("is empty")
        case {"path": path, "bytes": data}:
            return {"path": path if data is None else None, "bytes": data}
    raise ValueError(f"is {name_kind(value)}, where the path or the bytes of a file are wanted")


def _bytes(found: dict[str, Any]) -> bytes:
    """Read before anything is decoded: an OSError is the disk's or the recipe's fault, and no broken file."""
    data: bytes = Path(found["path"]).read_bytes() if found["bytes"] is None else found["bytes"]
    return data


@contextmanager
def _explain_errors(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # decoders raise whatever they stumble over in a broken file
        raise Missing(f"is no {what} that can be opened: {error}", "unreadable") from error


def _counts_its_frames(data: bytes) -> bool:
    """Whether the first frame of an MP3 does: else libsndfile guesses from the size of the file, tags and all."""
    start = 0
    if data[:3] == b"ID3":
        for seven in data[6:10]:  # bits, of which the size of a tag has in each byte
            start = start << 7 | seven
    first = data[start : start + 64]  # with the ten bytes of the tag's own header, and ten of its footer
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def _lacks_its_end(data: bytes) -> bool:
    """Of a WAV, which decodes to the part that is there."""
    size = int.from_bytes(data[4:8], "little")
    return data[:4] == b"RIFF" and len(data) < size < _STREAMED
