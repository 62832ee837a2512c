"""The train stage."""

import json
from typing import Any

from training.stage import Work
from training.train.check import check
from training.train.fit import RESULT, fit
from training.train.settings import MonitorSettings


def run(work: Work) -> dict[str, Any]:
    """Train, or go on where a killed run was: `model/`, `adapter/` and `log.jsonl` in the folder."""
    check(work.recipe)
    result = work.folder / RESULT
    if not result.is_file():
        if work.recipe.distributed is None:
            fit(work, MonitorSettings())
        else:
            from training.train.launch import launch

            launch(work)
    outcome: dict[str, Any] = json.loads(result.read_text())
    return outcome
