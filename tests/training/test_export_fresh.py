"""A run is gone on with by another process: what one has trained, one that never trained exports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.cases import case
from training.stage import Work
from training.train.run import run as train
from training.train.worker import describe

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
EXPORT = """
import json, sys
from training.export.run import run
from training.train.worker import read
outcome = run(read(sys.stdin.read()))
print(json.dumps(sorted(outcome["variants"])))
"""


@pytest.mark.parametrize("name", ["tabular-classification", "tabular-regression"])
def test_a_process_that_never_trained_exports_what_another_has_trained(name: str, tmp_path: Path) -> None:
    asked = {"variants": ["fp32"], "parity_rows": 16, "golden_rows": 2}
    recipe, data = case(name, tmp_path, 200, {"max_steps": 6}, export=asked)
    folders = {stage: tmp_path / stage for stage in ("train", "export")}
    for folder in folders.values():
        folder.mkdir()
    outcome = train(Work(recipe, folders["train"], {"data": data}, {}, print))
    inputs = {"data": data, "train": folders["train"]}
    work = Work(recipe, folders["export"], inputs, {"data": {}, "train": outcome}, print)
    done = subprocess.run(
        [sys.executable, "-c", EXPORT], cwd=ROOT, input=describe(work), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["fp32"]
