"""The command against a running platform that asks for a token: a version's life, by URL alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.local_platform import Up, headrace, running
from tests.servers import free_port
from tests.unit.headrace.test_models_commands import write_model

TOKEN = "only-for-this-test"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    data = tmp_path_factory.mktemp("cli") / "data"
    with running(data, free_port(), "--workers", "1", HEADRACE_ADMIN_TOKEN=TOKEN) as up:
        yield up


@pytest.fixture
def up(platform: Up) -> Iterator[Up]:
    """The platform, whose models are removed after each test."""
    yield platform
    for model in answer(platform, "models", "list"):
        answer(platform, "models", "remove", model["name"])


def answer(up: Up, *arguments: str) -> Any:
    """What the command says with --json, speaking to the platform by its URL."""
    result = headrace(*arguments, "--json", HEADRACE_URL=up.url, HEADRACE_ADMIN_TOKEN=TOKEN)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def output(up: Up, *arguments: str) -> Any:
    """The numbers that `scaled` makes of 1, 2, 3."""
    return answer(up, "infer", "scaled", "[1, 2, 3]", *arguments)["outputs"][0]["data"]


def test_a_version_is_added_tried_promoted_rolled_back_and_removed(up: Up, tmp_path: Path) -> None:
    one, two = (str(write_model(tmp_path / f"{scale}.onnx", scale)) for scale in (1, 2))
    assert answer(up, "models", "add", one, "--name", "scaled", "--wait")["number"] == 1
    assert output(up) == [1, 2, 3]

    added = answer(up, "models", "add", two, "--name", "scaled", "--alias", "candidate", "--wait")
    assert added["number"] == 2
    assert output(up, "--version", "2") == [2, 4, 6]
    assert output(up) == [1, 2, 3]

    answer(up, "models", "promote", "scaled", "candidate")
    assert output(up) == [2, 4, 6]
    assert answer(up, "models", "show", "scaled")["aliases"] == {"stable": 2, "candidate": 2}

    assert answer(up, "models", "rollback", "scaled")["number"] == 1
    while (numbers := output(up)) != [1, 2, 3]:
        assert numbers == [2, 4, 6]  # the worker was about to unload version 1: until it knows better, 2 answers

    (row, other) = answer(up, "status")["models"]
    assert (row["aliases"], other["aliases"]) == (["stable"], ["candidate"])

    answer(up, "models", "remove", "scaled")
    assert answer(up, "models", "list") == []


def test_a_version_that_cannot_be_loaded_is_said_with_the_reason(up: Up, tmp_path: Path) -> None:
    source = str(write_model(tmp_path / "m.onnx", 1))
    setting = ("--set", 'engine.providers=["tensorrt"]')
    result = headrace("models", "add", source, *setting, "--name", "gpu", "--wait", "--url", up.url, "--token", TOKEN)
    assert result.returncode == 1
    assert "version 1 of gpu failed to load" in result.stderr
    assert "tensorrt" in result.stderr


def test_a_version_that_nothing_points_at_is_not_waited_for(up: Up, tmp_path: Path) -> None:
    for scale in (3, 4):
        source = str(write_model(tmp_path / f"{scale}.onnx", scale))
        arguments = ("models", "add", source, "--name", "waiting", "--wait", "--url", up.url, "--token", TOKEN)
        result = headrace(*arguments)
    assert result.returncode == 1
    assert "headrace models promote waiting 2" in result.stderr


def test_a_measurement_counts_what_was_answered(up: Up, tmp_path: Path) -> None:
    answer(up, "models", "add", str(write_model(tmp_path / "m.onnx", 1)), "--name", "measured", "--wait")
    measured = answer(up, "bench", "measured", "--seconds", "0.5", "--concurrency", "2")
    assert measured["requests"] > 0
    assert measured["refused"] == {}
    assert 0 < measured["p50_ms"] <= measured["p99_ms"]


def test_a_version_is_measured_before_it_is_promoted(up: Up, tmp_path: Path) -> None:
    for scale, alias in ((1, "stable"), (2, "candidate")):
        source = str(write_model(tmp_path / f"{scale}.onnx", scale))
        answer(up, "models", "add", source, "--name", "tried", "--alias", alias, "--wait")
    arguments = ("--version", "candidate", "--seconds", "0.2", "--concurrency", "1", "--cached")
    measured = answer(up, "bench", "tried", *arguments)
    assert measured["version"] == "candidate"
    assert measured["requests"] > 0
    requests = {
        line.partition('version="')[2][0]
        for line in httpx.get(f"{up.url}/metrics").text.splitlines()
        if line.startswith("headrace_gateway_request_seconds_count{") and 'model="tried"' in line
    }
    assert requests == {"2"}
    result = headrace("bench", "tried", "--version", "7", "--url", up.url, "--token", TOKEN)
    assert result.returncode == 1
    assert "no version '7'" in result.stderr


def test_without_the_token_nothing_is_changed_and_it_is_said_where_it_goes(up: Up) -> None:
    result = headrace("models", "remove", "scaled", "--json", "--url", up.url)
    assert result.returncode == 1
    assert "HEADRACE_ADMIN_TOKEN" in json.loads(result.stderr)["hint"]


def test_the_folder_leads_to_the_platform_that_runs_over_it(up: Up) -> None:
    result = headrace("status", "--data", str(up.data), "--json")
    assert json.loads(result.stdout)["url"] == up.url
    assert len(json.loads(result.stdout)["workers"]) == 1


def test_an_unknown_model_is_answered_with_those_that_there_are(up: Up, tmp_path: Path) -> None:
    answer(up, "models", "add", str(write_model(tmp_path / "m.onnx", 1)), "--name", "spelled", "--wait")
    for command in (("infer", "speled", "[1, 2, 3]"), ("bench", "speled"), ("models", "show", "speled")):
        result = headrace(*command, "--url", up.url, "--token", TOKEN)
        assert result.returncode == 1
        assert result.stderr == "error: there is no model named speled; did you mean spelled?\n", command
