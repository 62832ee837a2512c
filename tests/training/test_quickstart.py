"""The quickstart notebook, run from its first cell to its last in a folder of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.data_folder import DataFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
RUN = "from nbclient.cli import main; main()"
ANSWER = re.compile(r"^(negative|positive) [01]\.\d\d  ", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it was run."""
    folder = tmp_path_factory.mktemp("quickstart")
    command = folder / "bin" / "headrace"  # as an installed package has it
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m headrace "$@"\n')
    command.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")} | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter"),
    }
    shutil.copy(NOTEBOOK, folder)
    ran = subprocess.run(
        [sys.executable, "-c", RUN, "--inplace", NOTEBOOK.name], cwd=folder, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return folder


def test_a_csv_becomes_an_endpoint_that_answers(folder: Path) -> None:
    outputs = _outputs(folder / NOTEBOOK.name)
    assert ANSWER.findall(outputs["ask"]) == ["positive", "negative"]
    (ranked,) = json.loads(outputs["curl"])
    assert ranked[0]["label"] == "positive"
    assert sum(one["score"] for one in ranked) == pytest.approx(1, abs=1e-5)


def test_nothing_of_it_is_left_running(folder: Path) -> None:
    assert _outputs(folder / NOTEBOOK.name)["stop"] == "0"
    assert DataFolder(folder / ".headrace").running_url() is None


def test_what_the_repository_shows_is_of_one_such_run(folder: Path) -> None:
    shown, ran = _outputs(NOTEBOOK), _outputs(folder / NOTEBOOK.name)
    assert ANSWER.findall(shown["ask"]) == ANSWER.findall(ran["ask"])
    cells = [cell for cell in _cells(NOTEBOOK) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not re.search(r"/(home|root|tmp|Users)/|\x1b", "".join(shown.values())), "a path of that machine, or colours"


def _cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return found


def _outputs(path: Path) -> dict[str, str]:
    """What each cell printed and showed as text, by its id."""
    return {
        cell["id"]: "".join("".join(one.get("text") or one["data"]["text/plain"]) for one in cell["outputs"])
        for cell in _cells(path)
        if cell["cell_type"] == "code"
    }
