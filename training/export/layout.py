"""The folder of an artifact: its files, and the manifest that names them."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from storage.hashing import sha256_of
from training.recipe import strict_yaml

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe

METRICS: Final = "metrics.json"
RECIPE: Final = "recipe.yaml"
SUMS: Final = "SHA256SUMS"
# A Hugging Face folder without its weights: those are in the graphs.
_SUFFIXES: Final = (".jinja", ".json", ".model", ".txt")
_NOT: Final = (".index.json", "trainer_state.json", "outcome.json", "adapter_config.json")


def copy_folder(trained: Path, folder: Path) -> None:
    """What stands around the weights: configuration, tokenizer, chat template, image processor."""
    for path in sorted(trained.iterdir()):
        if path.is_file() and path.suffix in _SUFFIXES and not path.name.endswith(_NOT):
            shutil.copyfile(path, folder / path.name)


def write_recipe(recipe: "Recipe", folder: Path) -> None:
    """The recipe with all its defaults, which is what was done: also what is null, as that turns a default off."""
    given = recipe.model_dump(mode="json", by_alias=True)
    (folder / RECIPE).write_text(strict_yaml.dump(given))


def write_metrics(metrics: Mapping[str, Any], folder: Path) -> None:
    """The figures behind the manifest's own, as JSON."""
    (folder / METRICS).write_text(json.dumps(metrics, indent=1, ensure_ascii=False, sort_keys=True))


def files_of(folder: Path) -> list[str]:
    """The paths of the artifact's files: all there are, but for what is written about all of them."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        name for path in paths if (name := path.relative_to(folder).as_posix()) not in ("manifest.json", SUMS)
    )


def write_sums(folder: Path) -> None:
    """For `sha256sum --check`, the manifest too."""
    names = [*files_of(folder), "manifest.json"]
    (folder / SUMS).write_text("".join(f"{sha256_of(folder / name)}  {name}\n" for name in sorted(names)))


def weights_digest(folder: Path) -> str:
    """sha256 over the safetensors of a Hugging Face folder: which weights these are."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(f"{path.relative_to(folder)}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()
