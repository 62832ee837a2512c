"""What has to hold before a manifest becomes a version: its names, its paths, its files, and what JSON can hold."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from storage.errors import InvalidArtifact, MissingFile
from storage.manifest import Manifest
from storage.model_name import check_new_name

LONGEST_PATH: Final = 255


def check_new(manifest: Manifest) -> None:
    """Raises InvalidArtifact where the manifest may not become a version, though one that is there already may stay."""
    try:
        check_new_name(manifest.name)
    except ValueError as error:
        raise InvalidArtifact(str(error)) from error
    for file in manifest.files:
        if len(file.path.encode()) > LONGEST_PATH:
            raise InvalidArtifact(
                f"the path {file.path[:40]!r}... has more than {LONGEST_PATH} bytes, which no folder takes: shorten it"
            )
        if not file.path.isprintable():
            raise InvalidArtifact(f"the path {file.path!r} has characters that cannot be printed: rename the file")
    for kind, specs in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names):
            raise InvalidArtifact(f"two {kind} have the same name: {', '.join(names)}")


def as_stored(manifest: Manifest) -> tuple[str, dict[str, Any], Manifest]:
    """The manifest's digest, the JSON that is stored, and the manifest that every process will read from that.

    Raises InvalidArtifact where JSON cannot hold it.
    """
    try:
        stored = orjson.loads(orjson.dumps(manifest.model_dump(mode="json")))
        return manifest.digest, stored, Manifest.model_validate(stored)
    except (TypeError, ValueError) as error:
        raise InvalidArtifact(f"the manifest holds what JSON cannot: {error}") from error


async def check_files(manifest: Manifest, has: Callable[[str], Awaitable[bool]]) -> None:
    """Raises MissingFile unless the artifact store `has` every file."""
    if missing := [f"{file.path} ({file.sha256})" for file in manifest.files if not await has(file.sha256)]:
        raise MissingFile(f"upload these files first, PUT /admin/files/<sha256>: {', '.join(missing)}")
