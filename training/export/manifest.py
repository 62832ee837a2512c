"""Writes what makes a folder of files an artifact: `manifest.json` and `golden.json`."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson

from storage.hashing import sha256_of
from storage.manifest import FileEntry, Manifest

MANIFEST: Final = "manifest.json"
GOLDEN: Final = "golden.json"


def write_golden(folder: Path, cases: Sequence[tuple[dict[str, Any], dict[str, Any]]], tolerance: float) -> None:
    """Write requests with the answers that a worker must reproduce, up to `tolerance` in each element.

    A case is one input and one output, in the JSON form of the Open Inference Protocol.
    """
    golden = {
        "tolerance": tolerance,
        "cases": [{"inputs": [given], "outputs": [expected]} for given, expected in cases],
    }
    (folder / GOLDEN).write_bytes(orjson.dumps(golden))


def write_manifest(folder: Path, files: Iterable[str], fields: Mapping[str, Any]) -> Manifest:
    """Write the manifest of the artifact that `files` of `folder` make up, with `fields` for the rest of it.

    The same files and fields give the same digest: put no time of day among them.
    """
    entries = [_entry(folder, path) for path in sorted(files)]
    manifest = Manifest.model_validate({**fields, "files": entries})
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
    return manifest


def versions(*packages: str) -> dict[str, str]:
    """The installed versions of the packages that made an artifact, for its provenance."""
    return {package: version(package) for package in packages}


def _entry(folder: Path, path: str) -> FileEntry:
    return FileEntry(path=path, sha256=sha256_of(folder / path), size=(folder / path).stat().st_size)
