"""The files of the editors say the same, and name what there is."""

import json
import re
import tomllib
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.editors import PYCHARM, ROOT, VSCODE, compounds_of_pycharm, in_pycharm, in_vscode, launch

MAKEFILE = (ROOT / "Makefile").read_text()
STAGES = re.findall(r"^FROM \S+ AS (\S+)", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)


def read(path: str) -> Any:
    return json.loads((ROOT / path).read_text())


def test_both_editors_run_the_same() -> None:
    vscode, pycharm = (
        {
            name: (each.filled(file="F", selected="S").arguments, each.module, each.filled().python, each.before)
            for name, each in found.items()
            if name != "migrate"  # a task of VS Code's
        }
        for found in (in_vscode(), in_pycharm())
    )
    assert vscode == pycharm
    assert {each["name"]: each["configurations"] for each in launch()["compounds"]} == compounds_of_pycharm()
    assert {each.folder for each in in_vscode().values()} == {"${workspaceFolder}"}
    assert {each.folder for each in in_pycharm().values()} == {"$PROJECT_DIR$"}


def test_the_interpreter_is_the_environment_that_make_makes() -> None:
    made = {each.filled().python: name for name, each in in_vscode().items()}
    assert set(made) == {".venv/bin/python", ".venv-training/bin/python"}
    assert made[".venv-training/bin/python"] == "train: this recipe"
    assert "TRAINING := .venv-training" in MAKEFILE
    assert read(".vscode/settings.json")["python.defaultInterpreterPath"] == "${workspaceFolder}/.venv/bin/python"


def test_tasks_are_targets_and_what_is_run_before_is_a_task() -> None:
    tasks = {task["label"]: task for task in read(".vscode/tasks.json")["tasks"]}
    for task in tasks.values():
        if task["type"] == "shell":
            assert re.search(rf"^{task['command'].split()[1]}:", MAKEFILE, re.MULTILINE), task["command"]
    assert {each.before for each in in_vscode().values()} - {None} <= set(tasks)
    migrate = in_pycharm()["migrate"]
    assert tasks["migrate"]["args"] == ["-m", migrate.module]


@pytest.mark.parametrize("path", sorted(PYCHARM.glob("*.xml")), ids=lambda path: path.name)
def test_what_pycharm_starts_together_or_before_is_there(path: Any) -> None:
    root = ElementTree.parse(path).getroot()
    named = [each.attrib["name"] for each in root.iter("toRun")]
    named += [before for each in root.iter("option") if (before := each.get("run_configuration_name"))]
    assert set(named) <= set(in_pycharm())


def test_settings_are_those_of_the_project() -> None:
    settings = read(".vscode/settings.json")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["python.testing.pytestArgs"] == project["tool"]["pytest"]["ini_options"]["testpaths"]
    assert settings["[python]"]["editor.rulers"] == [project["tool"]["ruff"]["line-length"]]
    recommended = read(".vscode/extensions.json")["recommendations"]
    assert settings["[python]"]["editor.defaultFormatter"] in recommended
    assert {"ms-python.mypy-type-checker", "ms-python.debugpy"} <= set(recommended)
    assert sorted(path.name for path in VSCODE.iterdir()) == [
        "extensions.json",
        "launch.json",
        "settings.json",
        "tasks.json",
    ]


def test_the_container_is_a_stage_of_ours_and_takes_nothing_from_elsewhere() -> None:
    container = read(".devcontainer/devcontainer.json")
    build = container["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "deploy" / "Dockerfile"
    assert (ROOT / ".devcontainer" / build["context"]).resolve() == ROOT
    assert build["target"] in STAGES
    assert "features" not in container
    assert "image" not in container
    assert container["postCreateCommand"] == "make .venv/test.stamp"
    assert container["customizations"]["vscode"]["extensions"] == read(".vscode/extensions.json")["recommendations"]
    (stage,) = re.findall(r"AS dev\n(.*?)\n\n", (ROOT / "deploy" / "Dockerfile").read_text(), re.DOTALL)
    assert f"USER {container['remoteUser']}" in stage
