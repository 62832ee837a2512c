"""From what an importer found to a manifest that is complete and valid."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from storage.errors import InvalidArtifact
from storage.hashing import sha256_of
from storage.importers.graph import Graph
from storage.importers.settings import CHOICES, explain_errors, merge
from storage.importers.tensors import check_rows
from storage.manifest import FileEntry, Manifest
from storage.model_name import check_new_name
from storage.publishing import check_new

GOLDEN: Final = "golden.json"


@dataclass(frozen=True, slots=True)
class Import:
    """A model ready to be published: `files` maps each path in the artifact to where its bytes are on disk.

    The manifest has the sha256 that each file had when it was read. `notes` tell people what the source suggests and
    the version does not do. Files that were made for it are there as long as `made`.
    """

    manifest: Manifest
    files: dict[str, Path]
    notes: Sequence[str] = ()
    made: object = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What an importer knows: a name to go by, the graph, what it adds to its fields, files and notes."""

    name: str
    graph: Graph
    fields: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    notes: Sequence[str] = ()


def finish(draft: Draft, name: str | None, settings: Mapping[str, Any]) -> Import:
    """The draft as an Import, with `settings` over what it found. Raises InvalidArtifact where that is no manifest."""
    files = dict(sorted({**draft.graph.files, **draft.files}.items()))
    told = merge(draft.fields, {key: value for key, value in settings.items() if key not in CHOICES})
    fields = merge(draft.graph.fields(), told)
    batching = told.get("batching", {})
    fields["batching"] = draft.graph.batching_fields(batching, batching.get("max_rows"))
    fields |= draft.graph.cache_fields(settings)
    fields["name"] = _choose_name(name, draft.name)
    fields["files"] = [entry(path, file).model_dump() for path, file in files.items()]
    manifest = validate(fields)
    if (draft.graph.path, draft.graph.sha256) not in {(file.path, file.sha256) for file in manifest.files}:
        raise InvalidArtifact(f"{draft.graph.path} was changed while it was imported: import it again")
    check_rows(manifest, draft.graph)
    return Import(manifest, files, (*draft.graph.notes, *draft.notes), draft.graph.made)


def entry(path: str, file: Path) -> FileEntry:
    """The manifest's entry for the file on disk that goes to `path` in the artifact."""
    return FileEntry(path=path, sha256=sha256_of(file), size=file.stat().st_size)


def validate(fields: Mapping[str, Any]) -> Manifest:
    """The manifest with these fields. Raises InvalidArtifact that names every field that is wrong."""
    try:
        manifest = Manifest.model_validate(fields)
    except ValidationError as error:
        raise InvalidArtifact(explain_errors(error)) from error
    check_new(manifest)
    return manifest


def _choose_name(given: str | None, found: str) -> str:
    # A name that somebody gave is theirs to correct; one that we took from a file is made to fit.
    name = given if given is not None else re.sub(r"[^A-Za-z0-9._-]+", "-", found).lstrip("._-")[:128]
    try:
        return check_new_name(name)
    except ValueError as error:
        raise InvalidArtifact(f"{error}: name the model yourself" if given is None else str(error)) from error
