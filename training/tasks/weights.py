"""Whether the weights in a model's folder are there to their end, which opening it would only say after the data."""

import json
import zipfile
from pathlib import Path
from typing import Final

from training.recipe.block import RecipeError

_SAFE, _TORCH = "model.safetensors", "pytorch_model.bin"
_LENGTH: Final = 8  # bytes of a safetensors file that say how long its header is
_GGUF: Final = b"GGUF"


def require_weights(source: str, where: str, gguf_file: str | None = None) -> None:
    """Raises RecipeError where `source` is a folder without weights, or with some that are cut short.

    `where` is the key that names it. Of a model on the hub nothing is known yet.
    """
    folder = Path(source)
    if not folder.is_dir() or (folder / "adapter_config.json").is_file():
        return
    for file in _files(folder, where, gguf_file):
        if not file.is_file():
            raise RecipeError(f"{where}: {file} is not there: fetch the model anew")
        if not _is_whole(file):
            raise RecipeError(f"{where}: {file} is broken or cut short: fetch the model anew")


def _files(folder: Path, where: str, gguf_file: str | None) -> list[Path]:
    """Those that `from_pretrained` will open."""
    if gguf_file is not None:
        return [folder / gguf_file]
    for name in (_SAFE, _TORCH):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            try:
                return [folder / part for part in sorted(set(json.loads(index.read_bytes())["weight_map"].values()))]
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise RecipeError(f"{where}: {index} is broken or cut short: fetch the model anew") from error
    raise RecipeError(f"{where}: {folder} holds no weights: there is neither {_SAFE} nor {_TORCH} in it")


def _is_whole(file: Path) -> bool:
    if file.suffix == ".safetensors":
        return _ends_where_it_says(file)
    with file.open("rb") as opened:
        begin = opened.read(len(_GGUF))
    if file.suffix == ".gguf":
        return begin == _GGUF
    return zipfile.is_zipfile(file) if begin.startswith(b"PK") else bool(begin)


def _ends_where_it_says(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(_LENGTH), "little")
            header = json.loads(opened.read(min(length, file.stat().st_size)))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
    return bool(ends) and file.stat().st_size == _LENGTH + length + max(ends)
