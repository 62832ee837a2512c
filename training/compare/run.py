"""The compare stage: the version that serves now, on the rows that the new one was measured on."""

from typing import Any

from training.compare.ask import ServingUnknown, ask
from training.evaluate.intervals import differences, intervals
from training.evaluate.run import as_json, load_judged_rows, measure_on
from training.export.run import ARTIFACT
from training.export.session import session
from training.export.variants import FILES
from training.stage import Work
from training.tasks.open import open_task


def run(work: Work) -> dict[str, Any]:
    """Its metrics, and by how much the new one's are above them; `unknown` says why where it cannot be asked.

    None of it goes into the artifact: the same model is the same version, whatever it is compared with.
    """
    recipe, block = work.recipe, work.recipe.evaluate
    assert block.against is not None  # the stage is left out otherwise
    task, rows = open_task(recipe.task), load_judged_rows(work)
    model = task.load(work.inputs["train"] / "model")
    served = session(work.inputs["export"] / ARTIFACT / FILES[work.outcomes["export"]["served"]])
    where = {"url": block.against.url, "alias": block.against.alias, "model": block.against.model or recipe.name}
    work.say(f"compare: {where['model']} {where['alias']} at {where['url']}, on {len(rows)} rows")
    try:
        version, theirs = ask(block.against, recipe.name, task, model, rows)
    except ServingUnknown as error:
        work.say(f"compare: not compared, {error}")
        return {**where, "unknown": str(error)}
    settings = len(rows), block.resamples, block.confidence, recipe.seed
    mine, old = measure_on(task, task.predict(served, model, rows), rows), measure_on(task, theirs, rows)
    return {
        **where,
        "version": int(version),
        "metrics": as_json(intervals(old, *settings)),
        "differences": as_json(differences(mine, old, *settings)),
    }
