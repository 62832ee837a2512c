"""A folder with a manifest of ours: an artifact that was exported, or made by `training`."""

from collections.abc import Mapping
from typing import Any

from storage.errors import InvalidArtifact
from storage.importers.beside import OURS
from storage.importers.draft import Import, entry, validate
from storage.importers.folder import Folder
from storage.importers.graph import Graph, read_graph
from storage.importers.settings import CHOICES, merge, refuse_choice
from storage.importers.tensors import check_rows, check_tensors
from storage.manifest import FileEntry, Manifest
from wire.tasks.table import task_named

MANIFEST = "manifest.json"


def is_exported(folder: Folder) -> bool:
    """Whether the folder's manifest.json is one of ours: web pages have files of that name as well."""
    manifest = folder.json(MANIFEST)
    return isinstance(manifest, dict) and manifest.keys() >= OURS


def import_exported(folder: Folder, name: str | None, settings: Mapping[str, Any]) -> Import:
    """The artifact as its manifest has it, under `name` and with `settings` where given.

    Raises InvalidArtifact where a file is not what the manifest says, or the graph is not what it promises.
    """
    refuse_choice(settings, "model", "folders without a manifest.json")
    refuse_choice(settings, "version", "Triton model repositories")
    fields = _choose_variant(folder.json_object(MANIFEST), settings.get("variant"))
    fields = merge(fields, {key: value for key, value in settings.items() if key not in CHOICES})
    if name is not None:
        fields["name"] = name
    manifest = validate(fields)
    files = {file.path: folder.require(file.path, MANIFEST) for file in manifest.files}
    for file in manifest.files:
        _check_unchanged(file, entry(file.path, files[file.path]))
    if not manifest.model.endswith(".onnx"):
        return Import(manifest, files)  # of another engine, whose graphs only workers read: a version's trial does
    graph = read_graph(folder, manifest.model, unwrapped=False)
    _check_graph(manifest, graph)
    # What a manifest says may be no more than the default: rows run together where that is seen, or set now.
    told = settings.get("batching", {}).get("max_rows")
    batching = graph.batching_fields(manifest.batching.model_dump(exclude_unset=True), told)
    return Import(validate({**fields, "batching": batching, **graph.cache_fields(settings)}), files, graph.notes)


def _choose_variant(fields: dict[str, Any], variant: Any) -> dict[str, Any]:
    """The manifest's fields with those of the variant of that name in their place."""
    if variant is None:
        return fields
    # Checked before it is taken apart: what a manifest holds, somebody else may have written.
    variants = {found.name: found for found in validate(fields).variants}
    if variant not in variants:
        known = ", ".join(variants) or "none"
        raise InvalidArtifact(f"the artifact has no variant {variant!r}; it has {known}")
    return {**fields, **variants[variant].model_dump(mode="json", exclude={"name"})}


def _check_unchanged(promised: FileEntry, present: FileEntry) -> None:
    if promised != present:
        raise InvalidArtifact(
            f"{promised.path} has {present.size} bytes and the sha256 {present.sha256}, {MANIFEST} says {promised.size}"
            f" and {promised.sha256}: it was changed or damaged since the manifest was written"
        )


def _check_graph(manifest: Manifest, graph: Graph) -> None:
    if unlisted := sorted(graph.files.keys() - {file.path for file in manifest.files}):
        raise InvalidArtifact(f"the graph's weights lie in {', '.join(unlisted)}, which {MANIFEST} does not list")
    if not task_named(manifest.task).takes_text:
        check_tensors("input", manifest.inputs, graph.inputs, MANIFEST)
        check_tensors("output", manifest.outputs, graph.outputs, MANIFEST)
    check_rows(manifest, graph)
