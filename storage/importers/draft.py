"""From what an importer found to a manifest that is complete and valid."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from storage.errors import InvalidArtifact
from storage.hashing import sha256_of
from storage.importers.graph import Graph
from storage.importers.settings import CHOICES, merge, told_plainly
from storage.importers.tensors import check_rows
from storage.manifest import FileEntry, Manifest, check_name

GOLDEN: Final = "golden.json"


@dataclass(frozen=True, slots=True)
class Import:
    """A model ready to be published: `files` maps each path in the artifact to where its bytes are on disk.

    The manifest has the sha256 that each file had when it was read.
    """

    manifest: Manifest
    files: dict[str, Path]


@dataclass(frozen=True, slots=True)
class Draft:
    """What an importer knows: a name to go by, the graph, and what it adds to the graph's own fields and files."""

    name: str
    graph: Graph
    fields: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def finish(draft: Draft, name: str | None, settings: Mapping[str, Any]) -> Import:
    """The draft as an Import, with `settings` over what it found. Raises InvalidArtifact where that is no manifest."""
    files = dict(sorted({**draft.graph.files, **draft.files}.items()))
    fields = merge(draft.graph.fields(), draft.fields)
    fields = merge(fields, {key: value for key, value in settings.items() if key not in CHOICES})
    fields["name"] = _named(name, draft.name)
    fields["files"] = [entry(path, file).model_dump() for path, file in files.items()]
    manifest = validated(fields)
    if (draft.graph.path, draft.graph.sha256) not in {(file.path, file.sha256) for file in manifest.files}:
        raise InvalidArtifact(f"{draft.graph.path} was changed while it was imported: import it again")
    check_rows(manifest, draft.graph)
    return Import(manifest, files)


def entry(path: str, file: Path) -> FileEntry:
    """The manifest's entry for the file on disk that goes to `path` in the artifact."""
    return FileEntry(path=path, sha256=sha256_of(file), size=file.stat().st_size)


def validated(fields: Mapping[str, Any]) -> Manifest:
    """The manifest with these fields. Raises InvalidArtifact that names every field that is wrong."""
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise InvalidArtifact(told_plainly(error)) from error


def _named(given: str | None, found: str) -> str:
    # A name that somebody gave is theirs to correct; one that we took from a file is made to fit.
    name = given if given is not None else re.sub(r"[^A-Za-z0-9._-]+", "-", found).lstrip("._-")[:128]
    try:
        return check_name(name)
    except ValueError as error:
        raise InvalidArtifact(f"{error}: name the model yourself" if given is None else str(error)) from error
