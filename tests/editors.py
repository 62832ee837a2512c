"""The run configurations of the editors: VS Code's .vscode/launch.json, and PyCharm's .run/*.run.xml."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
VSCODE, PYCHARM = ROOT / ".vscode", ROOT / ".run"


@dataclass(frozen=True)
class Configuration:
    """What is run: `python -m module arguments` in a folder, after `before`. Variables are the editor's own."""

    name: str
    python: str
    module: str
    arguments: tuple[str, ...]
    folder: str
    before: str | None

    def filled(self, **variables: str) -> "Configuration":
        """With the variables' values: `file`, `selected`, and what is said of the project's folder taken away."""
        values = {"${workspaceFolder}/": "", "$PROJECT_DIR$/": ""}
        for names, value in ((("${file}", "$FilePath$"), "file"), (("${selectedText}", "$SelectedText$"), "selected")):
            values |= dict.fromkeys(names, variables.get(value, ""))

        def fill(text: str) -> str:
            for name, put in values.items():
                text = text.replace(name, put)
            assert "$" not in text, text
            return text

        return replace(self, python=fill(self.python), arguments=tuple(map(fill, self.arguments)))


def in_vscode() -> dict[str, Configuration]:
    """Those of VS Code, by name."""
    return {
        found["name"]: Configuration(
            found["name"],
            found["python"],
            found["module"],
            tuple(found.get("args", ())),
            found["cwd"],
            found.get("preLaunchTask"),
        )
        for found in launch()["configurations"]
    }


def launch() -> dict[str, Any]:
    """VS Code's file as it is."""
    found: dict[str, Any] = json.loads((VSCODE / "launch.json").read_text())
    return found


def in_pycharm() -> dict[str, Configuration]:
    """Those of PyCharm that run Python, by name."""
    found = {}
    for path in sorted(PYCHARM.glob("*.run.xml")):
        (element,) = ElementTree.parse(path).getroot()
        if element.get("type") != "PythonConfigurationType":
            continue
        options = {option.get("name"): option.get("value", "") for option in element.findall("option")}
        assert options["MODULE_MODE"] == "true"
        before = element.find("method/option[@name='RunConfigurationTask']")
        found[element.attrib["name"]] = Configuration(
            element.attrib["name"],
            options["SDK_HOME"],
            options["SCRIPT_NAME"],
            tuple(shlex.split(options["PARAMETERS"])),
            options["WORKING_DIRECTORY"],
            None if before is None else before.get("run_configuration_name"),
        )
    return found


def compounds_of_pycharm() -> Mapping[str, list[str]]:
    """What several are started as one."""
    parsed = [next(iter(ElementTree.parse(path).getroot())) for path in sorted(PYCHARM.glob("*.run.xml"))]
    return {
        element.attrib["name"]: [each.attrib["name"] for each in element.findall("toRun")]
        for element in parsed
        if element.get("type") == "CompoundRunConfigurationType"
    }
