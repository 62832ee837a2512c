"""The editors' configuration that trains the recipe which is open."""

import os
import subprocess
import sys
from pathlib import Path

from tests.editors import in_pycharm, in_vscode


def test_the_recipe_that_is_open_is_trained(tmp_path: Path) -> None:
    headrace = [sys.executable, "-m", "headrace"]
    written = [*headrace, "train", "templates", "tabular-regression", "--out", str(tmp_path / "demand")]
    subprocess.run(written, cwd=tmp_path, check=True, capture_output=True)
    file = str(tmp_path / "demand" / "recipe.yaml")
    (found,) = {
        (each.module, each.arguments)
        for editor in (in_vscode(), in_pycharm())
        for each in (editor["train: this recipe"].filled(file=file),)
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    module, arguments = found
    trained = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / ".headrace" / "registry.db").exists()
