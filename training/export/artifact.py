"""What makes the exported graphs an artifact: golden answers, a manifest, and the folder's other files."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from storage.importers import import_model
from storage.importers.folder import Folder
from storage.importers.graph import read_graph
from storage.manifest import Manifest
from training.export.check import Figures
from training.export.layout import copy_folder, files_of, weights_digest, write_metrics, write_recipe, write_sums
from training.export.manifest import GOLDEN, versions, write_manifest
from training.export.session import alone, session
from training.export.tune import Best
from training.export.variants import FILES
from training.recipe.export import Variant
from training.stage import Work
from training.tasks.base import Model, Task

if TYPE_CHECKING:
    from datasets import Dataset

    from training.recipe.recipe import Recipe

# What a worker's answer may be off on another machine: products of int8 are not the same on every processor.
TOLERANCES: Final[Mapping[Variant, float]] = {"fp32": 1e-4, "fp16": 5e-3, "int8": 2e-2, "int8-static": 2e-2}
MOST_GOLDEN: Final = 8_000_000
PACKAGES: Final = (
    "accelerate", "datasets", "onnx", "onnxruntime", "onnxruntime-genai", "onnxscript", "peft", "torch", "transformers",
    "trl",
)  # fmt: skip


def describe(work: Work, task: Task, model: Model, trained: Path, graph: Path, folder: Path) -> dict[str, Any]:
    """The manifest's fields that all variants have in common; what stands around the weights is copied to `folder`.

    The public tensors are those of `graph`, but for what the task says.
    """
    recipe, data = work.recipe, work.outcomes.get("data", {})
    copy_folder(trained, folder)
    write_recipe(recipe, folder)
    tensors = read_graph(Folder.at(graph.parent), graph.name).fields()
    return {
        "inputs": tensors["inputs"],
        "outputs": tensors["outputs"],
        "name": recipe.name,
        "description": recipe.description,
        **task.serving(model),
        "provenance": {
            "template": recipe.task,
            "base_model": recipe.model.base or recipe.model.config,
            **_revisions(recipe),
            "weights": weights_digest(trained),
            "data": data.get("fingerprint"),
            "seed": recipe.seed,
            "packages": versions(*PACKAGES),
        },
    }


def _revisions(recipe: "Recipe") -> dict[str, str]:
    """Of what lies on the hub, where the recipe pins it."""
    pins = {"base_revision": recipe.model.revision, "tokenizer_revision": recipe.model.tokenizer_revision}
    return {name: pin for name, pin in pins.items() if pin is not None}


def describe_variants(folder: Path, figures: Mapping[Variant, Figures]) -> dict[Variant, dict[str, Any]]:
    """For each variant that a worker can run, what its manifest says in particular."""
    served: dict[Variant, dict[str, Any]] = {}
    for variant, found in figures.items():
        if variant == "int4":
            continue  # onnxruntime-genai's: the files are in the artifact
        graph = read_graph(Folder.at(folder), FILES[variant]).fields()
        batching = graph["batching"] | ({"batch_invariant": False} if found.neighbours > 0 else {})
        served[variant] = {"model": FILES[variant], "golden": f"golden_{variant}.json", "batching": batching}
    return served


def write_goldens(
    folder: Path, served: Mapping[Variant, Mapping[str, Any]], task: Task, model: Model, rows: "Dataset"
) -> None:
    """For each variant its answers to `rows`, each row asked on its own as the worker will be.

    As many of them as fit into MOST_GOLDEN bytes, the shortest first, and one in any case: those of language models
    have a number for each word that there is.
    """
    for variant, chosen in served.items():
        cases = [
            orjson.dumps({"inputs": tensors(given), "outputs": tensors(expected)})
            for given, expected in task.golden(alone(session(folder / FILES[variant])), model, rows)
        ]
        sizes = np.cumsum(sorted(map(len, cases)))
        kept = sorted(cases, key=len)[: max(1, int((sizes <= MOST_GOLDEN).sum()))]
        golden = {"tolerance": TOLERANCES[variant], "cases": [orjson.Fragment(case) for case in kept]}
        (folder / chosen["golden"]).write_bytes(orjson.dumps(golden))


def tensors(given: Any) -> list[dict[str, Any]]:
    """The tensors of one side of a golden case: several, or one by itself."""
    return list(given) if isinstance(given, list) else [given]


def write_artifact(
    folder: Path,
    recipe: "Recipe",
    fields: Mapping[str, Any],
    served: Mapping[Variant, dict[str, Any]],
    best: Best,
    outcome: Mapping[str, Any],
) -> Manifest:
    """Write the rest of the folder, `best` being what a worker runs, and import it as `headrace models add` will.

    Raises storage's InvalidArtifact where that is refused.
    """
    chosen = {**served[best.variant], "golden": GOLDEN, **best.settings(served[best.variant])}
    (folder / served[best.variant]["golden"]).rename(folder / GOLDEN)
    every = {**served, best.variant: chosen}
    figures = outcome["variants"]
    write_metrics(outcome, folder)
    write_manifest(
        folder,
        files_of(folder),
        {
            **fields,
            **chosen,
            "variants": [{"name": name, **those} for name, those in every.items()],
            "metrics": {name: float(value) for name, value in figures[best.variant]["metrics"].items()},
            "provenance": {
                **fields["provenance"],
                "exporter": outcome["exporter"],
                "opset": outcome["opset"],
                "parity": {name: {"largest": found["largest"]} for name, found in figures.items()},
            },
        },
    )
    write_sums(folder)
    return import_model(folder).manifest
