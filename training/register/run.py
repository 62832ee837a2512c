"""The register stage: a version for the registry, and the gates that decide whether it serves."""

import asyncio
import os
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from storage.importers import Import
from storage.settings import StorageSettings
from storage.views import ModelView, VersionView
from training.export.run import ARTIFACT
from training.recipe.register import STABLE, Register
from training.register.artifact import describe_made, finish
from training.register.destination import Destination, Local, Remote
from training.register.gates import describe_replaced, judge
from training.stage import Work
from training.tasks.open import open_task

# Of the metrics that tasks measure, those that are better when lower: these, and all that end in loss or error.
LOWER_IS_BETTER: Final = ("cer", "mae", "mape", "mase", "mse", "perplexity", "rmse", "smape", "wer")


def run(work: Work) -> dict[str, Any]:
    """Publish under the block's alias, and promote where every gate holds.

    Gates that did not hold are `failed` in what is returned: the version then stays where it was published.
    """
    block = work.recipe.register_
    assert block is not None  # the stage is left out otherwise
    exported, evaluated = work.inputs["export"] / ARTIFACT, work.outcomes["evaluate"]
    imported = finish(exported, work.folder / ARTIFACT, work.recipe, evaluated)
    return asyncio.run(_register(work, block, imported))


async def _register(work: Work, block: Register, imported: Import) -> dict[str, Any]:
    evaluated, task = work.outcomes["evaluate"], open_task(work.recipe.task)
    serving = block.promote or STABLE
    async with _open(block, work.recipe.folder) as registry:
        known = await registry.model(imported.manifest.name)
        number = known.aliases.get(serving) if known else None
        before = next((version for version in known.versions if version.number == number), None) if known else None
        version = await _publish(registry, known, imported, block.alias)
        work.say(f"register: {version.model} version {version.number} is {block.alias}")
        if before is not None and before.number == version.number:
            before = None  # it is what serves: this was done before
        better = {name: _higher_is_better(name) for name in imported.manifest.metrics}
        better[task.metric] = task.higher_is_better
        replaced = describe_replaced(before, evaluated["rows_digest"], work.outcomes.get("compare"))
        verdicts = judge(block.gates, imported.manifest.metrics, better, replaced)
        failed = [verdict.line for verdict in verdicts if not verdict.held]
        if promoted := block.promote is not None and not failed:
            await registry.promote(version, serving)
            work.say(f"register: {version.model} version {version.number} is {serving}")
    return {
        "model": version.model,
        "version": version.number,
        "digest": version.digest,
        "alias": block.alias,
        "promoted": serving if promoted else None,
        "replaced": before.number if before else None,
        "gates": [asdict(verdict) for verdict in verdicts],
        "failed": failed,
    }


async def _publish(registry: Destination, known: ModelView | None, imported: Import, alias: str) -> VersionView:
    """The version that has all of this artifact but what is written about it, or a new one; `alias` names it."""
    made = describe_made(imported.manifest)
    same = [version for version in known.versions if describe_made(version.manifest) == made] if known else []
    if not same:
        return await registry.publish(imported, alias)
    version = max(same, key=lambda version: version.number)
    if known is not None and known.aliases.get(alias) != version.number:
        await registry.promote(version, alias)
    return version


def _higher_is_better(metric: str) -> bool:
    return metric not in LOWER_IS_BETTER and not metric.endswith(("loss", "error"))


def _open(block: Register, beside: Path) -> AbstractAsyncContextManager[Destination]:
    if block.url is not None:
        return Remote.open(block.url, os.environ.get("HEADRACE_ADMIN_TOKEN"))
    settings = StorageSettings()
    if block.data is None and "database_url" in settings.model_fields_set:
        return Local.open(settings.database_url, settings.artifacts_url)
    # As `headrace up` and `headrace models` lay it out.
    data = (beside / block.data if block.data else Path(os.environ.get("HEADRACE_DATA", ".headrace"))).absolute()
    data.mkdir(parents=True, exist_ok=True)
    return Local.open(f"sqlite+aiosqlite:///{data / 'registry.db'}", str(data / "artifacts"))
