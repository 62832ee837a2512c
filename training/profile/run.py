"""The profile stage."""

from statistics import median
from typing import Any

import torch

from training.profile.bottleneck import find
from training.profile.suggest import Suggestion, suggestions
from training.profile.trial import Trial, trial
from training.stage import Work
from training.tasks.base import Task
from training.tasks.open import open_task
from training.train.arguments import arguments
from training.train.check import check


def run(work: Work, task: Task | None = None) -> dict[str, Any]:
    """Find the bottleneck, and try what is suggested against it. `trace.json` in the folder opens in Perfetto."""
    check(work.recipe)
    task = task or open_task(work.recipe.task)
    plain, profiled = trial(work, task, {}), trial(work, task, {}, profiled=True)
    profiled.profiled.export_chrome_trace(str(work.folder / "trace.json"))
    found = find(plain, profiled)
    work.say(f"most of the time goes into {found.largest}")
    options = arguments(work.recipe, task, work.folder)
    tried = [_try(work, task, one) for one in suggestions(found, options, torch.get_num_threads())]
    for one in tried:
        work.say(f"{one['change']}: {one['gain']:+.0%} rows a second, {one['verdict']}")
    return {"bottleneck": found.report(), "suggestions": tried, "threads": torch.get_num_threads()}


def _try(work: Work, task: Task, suggestion: Suggestion) -> dict[str, Any]:
    """What was measured with the suggestion, or why it could not be tried."""
    assert work.recipe.profile is not None
    before: list[Trial] = []
    after: list[Trial] = []
    for _ in range(work.recipe.profile.rounds):
        before.append(trial(work, task, {}))
        after.append(trial(work, task, suggestion.change))
    old, new = ([one.rows_per_second for one in trials] for trials in (before, after))
    return {
        "change": suggestion.change,
        "why": suggestion.why,
        "same_result": suggestion.same,
        "before": old,
        "after": new,
        "gain": median(new) / median(old) - 1,
        "verdict": verdict(old, new),
    }


def verdict(before: list[float], after: list[float]) -> str:
    """Whether one is faster by its rows a second; undecided where the two ranges overlap."""
    if min(after) > max(before):
        return "faster"
    if max(after) < min(before):
        return "slower"
    return "no clear difference"
