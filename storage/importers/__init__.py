"""What users have, turned into a manifest and files: the only part of `storage` that reads other people's formats."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import InvalidArtifact
from storage.importers.draft import Import, finish
from storage.importers.exported import import_exported, is_exported
from storage.importers.folder import Folder
from storage.importers.golden import with_golden
from storage.importers.hub import PREFIX, import_hub
from storage.importers.huggingface import import_folder
from storage.importers.mlflow import MLMODEL, import_mlflow
from storage.importers.onnx_file import import_onnx_file
from storage.importers.settings import check_settings, refuse_choice
from storage.importers.triton import find_triton_model, import_triton

__all__ = ["Import", "import_model"]


def import_model(
    source: str | Path, name: str | None = None, *, settings: Mapping[str, Any] = {}, golden: Path | None = None
) -> Import:
    """The model at `source`, under `name` or else the source's own. Blocks: it reads, hashes and may download.

    `source` is an `.onnx` file, a Hugging Face or Optimum folder, a Triton model repository (`path:version` for another
    version than the highest), a folder that MLflow wrote, an exported artifact, or `hf:owner/name@revision`.
    `settings` go over what is found, section by section: `{"engine": {"threads": 2}}`; `model` chooses one of a
    folder's graphs, `version` one of a Triton model's, `variant` one of an artifact's. `golden` is a file of golden
    cases for it, in place of any that it brings.

    Raises InvalidArtifact, which says what is wrong and what to do.
    """
    settings = check_settings(settings)
    try:
        imported = _import(str(source), name, settings)
        return imported if golden is None else with_golden(imported, golden)
    except OSError as error:
        raise InvalidArtifact(f"{source} cannot be read: {error}") from error


def _import(text: str, name: str | None, settings: Mapping[str, Any]) -> Import:
    path, version = _split_version(text)
    if path.is_dir() and version is None and is_exported(folder := Folder.at(path)):
        return import_exported(folder, name, settings)
    refuse_choice(settings, "variant", "artifacts, which have a manifest.json")
    if text.startswith(PREFIX):
        refuse_choice(settings, "version", "Triton model repositories; write hf:owner/name@revision")
        return finish(import_hub(text, settings), name, settings)
    if path.is_file():
        refuse_choice(settings, "model", "folders that hold several graphs")
        refuse_choice(settings, "version", "Triton model repositories")
        return finish(import_onnx_file(path), name, settings)
    if not path.is_dir():
        hint = f"; for a model of the Hugging Face hub write {PREFIX}{text}" if text.count("/") == 1 else ""
        raise InvalidArtifact(f"there is no file or folder {text}{hint}")
    if (triton := find_triton_model(path)) is not None:
        return finish(import_triton(triton, version, settings), name, settings)
    if version is not None:
        raise InvalidArtifact(f"{text} names a version, but {path} is no Triton model: it has no config.pbtxt")
    folder = Folder.at(path)
    if folder.find(MLMODEL) is not None:
        return finish(import_mlflow(folder, settings), name, settings)
    return finish(import_folder(folder, settings), name, settings)


def _split_version(source: str) -> tuple[Path, str | None]:
    path = Path(source)
    before, colon, version = source.rpartition(":")
    # A folder may have a colon in its name.
    return (Path(before), version) if colon and version.isdecimal() and not path.exists() else (path, None)
