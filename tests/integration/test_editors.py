"""What the editors' configurations run, run as they say: the processes, a test, and a debugger that stops in both."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.dap import Debugger, debugging
from tests.editors import ROOT, Configuration, in_pycharm, in_vscode, launch
from tests.integration.local_platform import environment
from tests.servers import free_port, running, wait_for
from tests.unit.headrace.test_models_commands import write_model

pytestmark = pytest.mark.slow

EDITORS = {"VS Code": in_vscode(), "PyCharm": in_pycharm()}
MIGRATE = [sys.executable, "-m", "storage.migrate"]
INPUT = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in place of the project's, whose registry has the model `scaled`."""
    folder = tmp_path_factory.mktemp("project")
    subprocess.run(MIGRATE, cwd=folder, env=environment(), check=True)
    model = write_model(folder / "scaled.onnx", 2)
    command = [sys.executable, "-m", "headrace", "models", "add", str(model), "--name", "scaled"]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    return folder


@pytest.fixture
def ports() -> dict[str, str]:
    """The one thing that is not as the editors have it: two platforms cannot have the same port."""
    return {f"HEADRACE_{name}_PORT": str(free_port()) for name in ("GATEWAY", "WORKER")}


@pytest.mark.parametrize("editor", EDITORS)
def test_gateway_and_worker_are_a_platform(editor: str, project: Path, ports: dict[str, str], tmp_path: Path) -> None:
    env = {**environment(), **ports}
    url = f"http://127.0.0.1:{ports['HEADRACE_GATEWAY_PORT']}"
    with ExitStack() as stack, httpx.Client(base_url=url) as http:
        for name in ("worker", "gateway"):
            configuration = EDITORS[editor][name]
            assert (configuration.before, configuration.python) == ("migrate", python_of(editor))
            log = tmp_path / f"{name}.log"
            process = stack.enter_context(running(command(configuration), log, cwd=project, env=env))
        wait_for(lambda: is_ready(http), process, log)
        answer = http.post("/v2/models/scaled/infer", json=INPUT)
        assert answer.json()["outputs"][0]["data"] == [2, 4, 6]


@pytest.mark.parametrize("editor", EDITORS)
def test_one_test_is_run(editor: str) -> None:
    file = str(ROOT / "tests" / "unit" / "cache" / "test_key.py")
    (name, *_) = [line[4:].partition("(")[0] for line in Path(file).read_text().splitlines() if line[:9] == "def test_"]
    whole = run(EDITORS[editor]["test: this file"].filled(file=file))
    selected = run(EDITORS[editor]["test: the selected name in this file"].filled(file=file, selected=name))
    assert "1 passed" in selected
    assert "deselected" in selected
    assert "deselected" not in whole


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_breakpoints_in_gateway_and_worker_are_met(project: Path, ports: dict[str, str]) -> None:
    breakpoints = {
        ROOT / "gateway" / "pipeline.py": ".table.resolve(",
        ROOT / "model_service" / "batcher.py": "loop = asyncio.get_running_loop()",
    }
    lines = {path: line_of(path, text) for path, text in breakpoints.items()}
    url = f"http://127.0.0.1:{ports['HEADRACE_GATEWAY_PORT']}"
    (compound,) = launch()["compounds"]
    configurations = {each["name"]: as_vscode_has_it(each, project, ports) for each in launch()["configurations"]}
    with ExitStack() as stack, httpx.Client(base_url=url, timeout=60) as http:
        debuggers: dict[str, Debugger] = {}
        for name in compound["configurations"]:
            debuggers[name] = stack.enter_context(debugging(configurations[name], lines))
        debuggers["gateway"].until(lambda: is_ready(http))
        with asking(http) as answers:
            debuggers["gateway"].until_stopped_in("pipeline.py")
            debuggers["worker"].until_stopped_in("batcher.py")
        assert answers[0].json()["outputs"][0]["data"] == [2, 4, 6]


def as_vscode_has_it(found: dict[str, Any], project: Path, ports: dict[str, str]) -> dict[str, Any]:
    """A configuration as the editor hands it to the debugger, in the scratch folder."""
    return {**found, "cwd": str(project), "python": sys.executable, "env": {**environment(), **ports}}


@contextmanager
def asking(http: httpx.Client) -> Iterator[list[httpx.Response]]:
    """A request meanwhile; its answer is there at the end."""
    answers: list[httpx.Response] = []
    thread = Thread(target=lambda: answers.append(http.post("/v2/models/scaled/infer", json=INPUT)))
    thread.start()
    yield answers
    thread.join()


def command(configuration: Configuration) -> list[str]:
    """With the interpreter of this test, as the environment may lie elsewhere."""
    return [sys.executable, "-m", configuration.module, *configuration.arguments]


def python_of(editor: str) -> str:
    return {"VS Code": "${workspaceFolder}", "PyCharm": "$PROJECT_DIR$"}[editor] + "/.venv/bin/python"


def run(configuration: Configuration) -> str:
    result = subprocess.run(command(configuration), cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/v2/models/scaled/ready").status_code == 200
    except httpx.TransportError:
        return False


def line_of(path: Path, text: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)
