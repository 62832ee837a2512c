"""`headrace up`: from one command to an answering platform, and back to nothing running."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis

from tests.integration.local_platform import ROOT, Up, environment, headrace, running
from tests.servers import free_port
from tests.unit.headrace.test_models_commands import write_model
from tests.unit.model_service.crashes import save_endless


@dataclass(frozen=True)
class FirstRun:
    """What a first `headrace up --demo` did, from its start to Ctrl-C."""

    data: Path
    output: str
    started: set[str]
    exit_code: int
    left: dict[int, str]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    data = tmp_path_factory.mktemp("up") / "data"
    with running(data, free_port(), "--demo") as up:
        started = set(up.left().values())
        exit_code = up.interrupt()
        return FirstRun(data, up.output, started, exit_code, up.left())


@pytest.fixture(scope="module")
def again(first_run: FirstRun) -> Iterator[Up]:
    with running(first_run.data, free_port(), "--demo") as up:
        yield up


def test_one_command_starts_every_part_and_says_where_it_answers(first_run: FirstRun) -> None:
    for part in ("valkey-server", "-m gateway", "-m model_service"):
        assert any(part in command for command in first_run.started), first_run.started
    assert "curl " in first_run.output
    assert "/docs" in first_run.output


def test_ctrl_c_leaves_nothing_running(first_run: FirstRun) -> None:
    assert first_run.exit_code == 0
    assert first_run.left == {}


def test_a_second_start_neither_makes_the_models_nor_tries_them_again(first_run: FirstRun, again: Up) -> None:
    assert "made and registered" in first_run.output
    assert "made and registered" not in again.output
    for log in again.data.glob("logs/worker-*.log"):
        assert "trial load" not in log.read_text()
        assert "trial load" in log.with_suffix(".log.1").read_text()


def test_the_line_to_try_is_answered_and_like_sentences_are_near(again: Up) -> None:
    sentences = ["The river is high.", "Water is rising.", "He plays the violin."]
    response = httpx.post(f"{again.url}/v1/embeddings", json={"model": "minilm", "input": sentences})
    river, water, violin = (entry["embedding"] for entry in response.raise_for_status().json()["data"])
    assert dot(river, water) > dot(river, violin)


def test_answers_are_kept_in_valkey(again: Up) -> None:
    gateway = next(pid for pid, command in again.left().items() if "-m gateway" in command)
    told = Path(f"/proc/{gateway}/environ").read_text().split("\0")
    url = next(entry.partition("=")[2] for entry in told if entry.startswith("HEADRACE_CACHE_REDIS_URL="))
    pixels = {"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [1.0] * 64}
    with redis.Redis.from_url(url) as valkey:
        valkey.flushdb()
        response = httpx.post(f"{again.url}/v2/models/digits/infer", json={"inputs": [pixels]})
        assert response.raise_for_status().headers["x-cache"] == "miss"
        again.until(lambda: valkey.dbsize() == 1)


def test_the_gateway_signs_what_it_keeps_in_valkey_with_the_secret_of_the_folder(again: Up) -> None:
    secret = again.data / "secrets" / "headrace_cache_secret"
    gateway = next(pid for pid, command in again.left().items() if "-m gateway" in command)
    told = Path(f"/proc/{gateway}/environ").read_text().split("\0")
    assert f"HEADRACE_CACHE_SECRET={secret.read_text()}" in told
    assert secret.stat().st_mode & 0o777 == 0o600
    for log in again.data.glob("logs/gateway-*.log"):
        assert "HEADRACE_CACHE_SECRET is not set" not in log.read_text()


def test_a_worker_that_dies_is_started_again(again: Up) -> None:
    worker = next(pid for pid, command in again.left().items() if "-m model_service" in command)
    os.kill(worker, signal.SIGKILL)
    again.until(lambda: "was killed by SIGKILL; starting it again" in again.output)
    again.until(lambda: sum("-m model_service" in command for command in again.left().values()) >= 2)


def test_a_second_up_over_the_same_folder_is_refused(again: Up) -> None:
    refused = headrace("up", "--data", str(again.data), "--port", str(free_port()))
    assert refused.returncode == 1
    assert again.url in refused.stderr
    assert "--data" in refused.stderr


def test_a_program_that_starts_it_reads_where_it_answers_as_json(tmp_path: Path) -> None:
    port = free_port()
    options = ["--json", "--workers", "1", "--data", str(tmp_path / "data"), "--port", str(port)]
    command = [sys.executable, "-m", "headrace", "up", *options]
    said = (tmp_path / "said").open("wb")
    with said, subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=said) as up:
        assert up.stdout is not None
        told = json.loads(up.stdout.readline())
        try:
            assert told["url"] == f"http://127.0.0.1:{port}"
            for url in (f"{told['url']}/v2/health/ready", told["docs"], told["metrics"]):
                assert httpx.get(url).status_code == 200
            assert told["models"] == []
            assert Path(told["logs"], "gateway-1.log").exists()
        finally:
            up.send_signal(signal.SIGINT)
        assert up.stdout.read() == b""
    assert up.returncode == 0
    assert "headrace answers at" in (tmp_path / "said").read_text()


def test_a_model_that_has_a_candidate_alone_is_waited_for_and_answers_as_such(tmp_path: Path) -> None:
    data, source = tmp_path / "data", str(write_model(tmp_path / "m.onnx", 2))
    added = headrace("models", "add", source, "--name", "scaled", "--alias", "candidate", "--data", str(data))
    assert added.returncode == 0, added.stderr
    with running(data, free_port(), "--workers", "1"):
        asked = ("infer", "scaled", "[1, 2, 3]", "--json", "--data", str(data))
        candidate = headrace(*asked, "--version", "candidate")
        assert json.loads(candidate.stdout)["outputs"][0]["data"] == [2, 4, 6]
        stable = headrace(*asked)
        assert stable.returncode == 1
        assert "has no 'stable' version: promote one" in json.loads(stable.stderr)["error"]


def test_a_version_that_hangs_in_its_trial_holds_up_nothing_that_served_before(tmp_path: Path) -> None:
    data, source = tmp_path / "data", str(write_model(tmp_path / "m.onnx", 2))
    assert headrace("models", "add", source, "--name", "scaled", "--data", str(data)).returncode == 0
    with running(data, free_port(), "--workers", "1"):
        pass
    endless = str(save_endless(tmp_path / "endless.onnx"))
    assert headrace("models", "add", endless, "--data", str(data)).returncode == 0
    # `running` waits for less long than a trial may take.
    with running(data, free_port(), "--workers", "1") as up:
        assert "version 1 of endless is in its trial, and answers once it has passed" in up.output
        answered = headrace("infer", "scaled", "[1, 2, 3]", "--json", "--data", str(data))
        assert json.loads(answered.stdout)["outputs"][0]["data"] == [2, 4, 6]
        assert "loading, in its trial" in headrace("status", "--data", str(data)).stdout


def test_a_port_in_use_is_named_with_the_way_out(again: Up, tmp_path: Path) -> None:
    port = again.url.rpartition(":")[2]
    refused = headrace("up", "--data", str(tmp_path / "data"), "--port", port)
    assert refused.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in refused.stderr
    assert "--port" in refused.stderr


def test_a_supervisor_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    with running(tmp_path / "data", free_port(), "--workers", "1") as up:
        assert len(up.left()) >= 4  # the supervisor, Valkey, a worker, the gateway
        up.kill()
        assert up.left() == {}


def test_ctrl_c_while_starting_leaves_nothing_running(tmp_path: Path) -> None:
    up = Up(tmp_path / "data", free_port(), "--demo")
    try:
        up.until(lambda: any("-m training" in command for command in up.left().values()))
        assert up.interrupt() == 0
        assert up.left() == {}
    finally:
        up.kill()


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_envoy_may_balance_and_a_killed_worker_costs_no_request(tmp_path: Path) -> None:
    with running(tmp_path / "data", free_port(), "--demo", "--load-balancer", "envoy") as up:
        assert any("envoy" in command for command in up.left().values())
        pixels = {"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}
        victims = [pid for pid, command in up.left().items() if command.rstrip().endswith("-m model_service")]
        with httpx.Client(base_url=up.url, headers={"cache-control": "no-cache"}, timeout=30) as client:
            statuses = set()
            for number in range(200):
                if number == 50:
                    os.kill(victims[-1], signal.SIGKILL)
                statuses.add(client.post("/v2/models/digits/infer", json={"inputs": [pixels]}).status_code)
        assert statuses == {200}
        assert up.interrupt() == 0
        assert up.left() == {}
