"""The artifact as it is registered: what export wrote, with what evaluation found."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from storage.importers import Import, import_model
from storage.manifest import Manifest
from training.export.layout import METRICS, RECIPE, SUMS, files_of, write_metrics, write_recipe, write_sums
from training.export.manifest import MANIFEST, write_manifest

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe

REWRITTEN: Final = (MANIFEST, METRICS, RECIPE, SUMS)


def finish(exported: Path, folder: Path, recipe: "Recipe", evaluated: Mapping[str, Any]) -> Import:
    """Write it to `folder`, the metrics in its manifest being those of the variant that serves, on the test rows.

    The recipe is written anew: those of its blocks that export does not read may have changed since.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    shutil.copytree(exported, folder, copy_function=_link)
    for name in REWRITTEN:
        (folder / name).unlink()
    fields = orjson.loads((exported / MANIFEST).read_bytes())
    served = evaluated["metrics"][evaluated["served"]]
    fields["description"] = recipe.description
    fields["metrics"] = {name: float(interval["value"]) for name, interval in served.items()}
    write_metrics({"export": orjson.loads((exported / METRICS).read_bytes()), "evaluate": evaluated}, folder)
    fields["provenance"]["test_rows"] = evaluated["rows_digest"]
    write_recipe(recipe, folder)
    write_manifest(folder, files_of(folder), fields)
    write_sums(folder)
    return import_model(folder)


def describe_made(manifest: Manifest) -> dict[str, Any]:
    """The manifest without what is written about a version: its metrics' intervals, where it was registered."""
    fields = manifest.model_dump(mode="json")
    return {**fields, "files": [file for file in fields["files"] if file["path"] not in REWRITTEN]}


def _link(source: str, target: str) -> None:
    # The graphs are large, and nobody writes into them.
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
