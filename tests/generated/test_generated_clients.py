"""Clients that generators write from `/openapi.json` compile, and call a platform: `make generated-clients`."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.platform import Platform, platform_in

HERE = Path(__file__).parent
TOOLS = HERE.parents[1] / ".venv-clients"
TSC = ["--strict", "--target", "es2022", "--lib", "es2022,dom", "--skipLibCheck", "--types", "node"]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform; its model `closed` takes one shape only."""
    with platform_in(tmp_path_factory.mktemp("platform")) as platform:
        tensor = {"datatype": "FP32", "shape": [1, 4]}
        closed: dict[str, Any] = {
            "inputs": [{"name": "x", **tensor}],
            "outputs": [{"name": "y", **tensor}],
            "golden": None,
        }
        platform.publish(platform.artifacts["double"], "closed", batching={"max_rows": 1}, **closed)
        platform.wait_until_ready("closed")
        yield platform


@pytest.fixture
def document(platform: Platform, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_bytes(platform.http.get("/openapi.json").raise_for_status().content)
    return path


def run(*command: str | Path, within: Path) -> None:
    """Run a command of the generators' environment; what it says is what the test fails with."""
    path = f"{TOOLS / 'bin'}:{TOOLS / 'node_modules' / '.bin'}:{os.environ['PATH']}"
    told = subprocess.run(
        command,
        cwd=within,
        env={**os.environ, "PATH": path},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert told.returncode == 0, told.stdout[-10_000:]


def call(script: str, platform: Platform, within: Path) -> None:
    shutil.copy(HERE / "calls" / script, within)
    run(TOOLS / "bin" / "python", script, platform.url, within=within)


def compile_and_call(script: str, platform: Platform, within: Path) -> None:
    (within / "node_modules").symlink_to(TOOLS / "node_modules")
    shutil.copy(HERE / "calls" / script, within / "call.ts")
    run("tsc", "--module", "commonjs", *TSC, "call.ts", within=within)
    run("node", "call.js", platform.url, within=within)


def test_openapi_python_client(document: Path, platform: Platform, tmp_path: Path) -> None:
    run("openapi-python-client", "generate", "--path", document, "--output-path", "client", within=tmp_path)
    call("openapi_python_client.py", platform, tmp_path / "client")


def test_openapi_generator_in_python(document: Path, platform: Platform, tmp_path: Path) -> None:
    run("openapi-generator-cli", "generate", "-g", "python", "-i", document, "-o", "client", within=tmp_path)
    call("openapi_generator.py", platform, tmp_path / "client")


def test_openapi_generator_in_typescript(document: Path, platform: Platform, tmp_path: Path) -> None:
    run("openapi-generator-cli", "generate", "-g", "typescript-fetch", "-i", document, "-o", "client", within=tmp_path)
    compile_and_call("openapi_generator.ts", platform, tmp_path)


def test_openapi_typescript(document: Path, platform: Platform, tmp_path: Path) -> None:
    run("openapi-typescript", document, "-o", "types.ts", within=tmp_path)
    compile_and_call("openapi_typescript.ts", platform, tmp_path)


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_openapi_generator_in_go(document: Path, platform: Platform, tmp_path: Path) -> None:
    run("openapi-generator-cli", "generate", "-g", "go", "-i", document, "-o", "client", within=tmp_path)
    client = tmp_path / "client"
    shutil.rmtree(client / "test")  # which imports more
    # The one package that it imports is stood in for, so that nothing has to be fetched; and older Go will do.
    (client / "validator").mkdir()
    (client / "validator" / "go.mod").write_text("module gopkg.in/validator.v2\n")
    (client / "validator" / "validator.go").write_text(
        "package validator\nfunc Validate(interface{}) error { return nil }\n"
    )
    module = (client / "go.mod").read_text().partition("go 1.")[0]
    validator = "require gopkg.in/validator.v2 v2.0.1\nreplace gopkg.in/validator.v2 => ./validator\n"
    (client / "go.mod").write_text(f"{module}go 1.19\n{validator}")
    (client / "call").mkdir()
    shutil.copy(HERE / "calls" / "openapi_generator.go", client / "call" / "main.go")
    run("go", "run", "./call", platform.url, within=client)


@pytest.mark.parametrize("template", ["java", "csharp", "rust", "kotlin", "php", "ruby", "swift6", "dart"])
def test_openapi_generator_writes_other_languages(document: Path, tmp_path: Path, template: str) -> None:
    run("openapi-generator-cli", "generate", "-g", template, "-i", document, "-o", "client", within=tmp_path)
