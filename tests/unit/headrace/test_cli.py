"""What the command says, and how it ends."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.data_folder import DataFolder
from headrace.local_registry import prepare
from headrace.ports import free_port
from tests.unit.headrace.conftest import Run


@pytest.mark.parametrize("command", [[], ["models", "add"]])
def test_help_waits_for_nothing_heavy(command: list[str]) -> None:
    check = (
        "import atexit, sys\n"
        "heavy = ('sqlalchemy', 'httpx', 'numpy', 'onnx', 'fastapi')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        "from headrace.cli import main\n"
        "main([*sys.argv[1:], '--help'])"
    )
    result = subprocess.run([sys.executable, "-c", check, *command], capture_output=True, text=True, check=True)
    assert "--help" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_looking_and_switching_read_no_graphs_and_make_no_tables(tmp_path: Path) -> None:
    asyncio.run(prepare(data := DataFolder(tmp_path)))
    check = (
        "import atexit, sys\n"
        "heavy = ('alembic', 'onnx', 'huggingface_hub')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        "from headrace.cli import main\n"
        "main(['models', 'list', '--data', sys.argv[1]])"
    )
    result = subprocess.run([sys.executable, "-c", check, str(data.root)], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_wrong_usage_ends_with_2(run: Run) -> None:
    result = run("models", "show")
    assert result.code == 2
    assert "NAME" in result.err


def test_wrong_usage_is_json_where_json_was_asked_for(run: Run) -> None:
    result = run("models", "promote", "minilm", "--json")
    assert result.code == 2
    assert "VERSION_OR_ALIAS" in json.loads(result.err)["error"]
    assert result.out == ""


@pytest.fixture
def empty(run: Run, tmp_path: Path) -> Run:
    """The command, in a folder whose registry holds no model."""
    asyncio.run(prepare(DataFolder(tmp_path / ".headrace")))
    return run


def test_an_unknown_model_is_one_line_that_says_what_to_do(empty: Run) -> None:
    result = empty("models", "show", "minilm")
    assert result.code == 1
    assert result.err == "error: there is no model named minilm; add one with `headrace models add SOURCE`\n"
    assert result.out == ""


def test_an_error_is_json_on_standard_error_where_json_was_asked_for(empty: Run) -> None:
    result = empty("models", "remove", "minilm", "--json")
    assert result.code == 1
    assert json.loads(result.err)["error"] == "there is no model named minilm"
    assert result.out == ""


@pytest.mark.parametrize("command", ["models list", "status", "infer minilm text", "bench minilm"])
def test_a_platform_that_is_not_there_is_named(run: Run, command: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = run(*command.split(), "--url", url)
    assert result.code == 1
    assert f"nothing answers at {url}" in result.err
    assert "headrace up" in result.err


def test_a_token_that_no_gateway_can_have_breaks_nothing(run: Run) -> None:
    result = run("models", "list", "--url", f"http://127.0.0.1:{free_port()}", "--token", "gehe\u00efm")
    assert result.code == 1
    assert "nothing answers" in result.err


def test_the_url_may_come_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_URL", url := f"http://127.0.0.1:{free_port()}")
    assert f"nothing answers at {url}" in run("models", "list").err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8000", "is no URL"),
        ("http://", "is no URL"),
        ("http://[::1", "is no URL"),
        ("http://127.0.0.1:port", "is no URL"),
        ("http://127.0.0.1:65536", "no port from 1 to 65535"),
        ("http://127.0.0.1:0", "no port from 1 to 65535"),
    ],
)
@pytest.mark.parametrize("command", ["models list", "status", "infer minilm text", "bench minilm"])
def test_what_is_no_url_is_refused_in_one_line_that_shows_one(run: Run, command: str, url: str, said: str) -> None:
    result = run(*command.split(), "--url", url)
    assert result.code == 1
    assert said in result.err
    assert "http://127.0.0.1:8000 with --url" in result.err
    assert len(result.err.splitlines()) == 1


def test_a_folder_without_models_lists_none(empty: Run) -> None:
    assert json.loads(empty("models", "list", "--json").out) == []
    assert "headrace models add" in empty("models", "list").out


@pytest.mark.parametrize("command", ["list", "show m", "promote m 1", "rollback m", "remove m"])
def test_a_folder_without_a_registry_is_left_as_it_is(run: Run, tmp_path: Path, command: str) -> None:
    result = run("models", *command.split())
    assert result.code == 1
    assert "there is no registry in .headrace" in result.err
    assert "headrace models add SOURCE" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_is_not_there_is_one_line(run: Run) -> None:
    result = run("models", "add", "./nothing.onnx")
    assert result.code == 1
    assert result.err.startswith("error: there is no file or folder ./nothing.onnx")
    assert len(result.err.splitlines()) == 1


def test_a_database_that_others_may_share_is_not_migrated_in_passing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", f"sqlite:///{tmp_path}/shared.db")
    result = run("models", "list")
    assert result.code == 1
    assert "storage.migrate" in result.err
