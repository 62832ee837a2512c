"""Every alert of deploy/prometheus/alerts.yml, made to fire by what it is there for.

After how many minutes it does so, and when it does not, promtool tells from invented series: see test_dashboards.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import platform
from tests.compose.hurried import firing, hurried
from tests.compose.slow import LONG, make_slow, turns
from tests.compose.stack import NO_CACHE, Stack, answers, health, inspect, run
from tests.compose.trainer import training
from tests.compose.training_run import MODEL, RUN
from tests.unit.deploy.dashboards import alerts
from training.export.manifest import write_manifest

pytestmark = pytest.mark.timeout(900)  # the first of them has the images built

ROWS = 2048  # as many as a model takes at once: an answer of 32 KB


@pytest.fixture(scope="module")
def watched(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The platform, and a Prometheus in a hurry. The platform's own one remembers nothing of what it is put through."""
    with hurried(stack, tmp_path_factory.mktemp("prometheus")) as watched:
        yield watched
    stack.compose("rm", "--stop", "--force", "prometheus")
    run(["docker", "volume", "rm", f"{stack.environment['COMPOSE_PROJECT_NAME']}_metrics"])
    stack.compose("up", "--detach", "--no-build", "prometheus")
    stack.until(lambda: answers(stack.prometheus, "/-/ready"))


@contextmanager
def published(stack: Stack, folder: Path, name: str, **changed: Any) -> Iterator[None]:
    """A model, whether it can be loaded or not."""
    platform.publish(stack.http, folder, name, **changed)
    try:
        yield
    finally:
        stack.http.delete(f"/admin/models/{name}").raise_for_status()


def infer(stack: Stack, model: str, body: dict[str, Any], **headers: str) -> int:
    """What it is answered: the status."""
    return stack.http.post(f"/v2/models/{model}/infer", json=body, headers=headers).status_code


def until_firing(stack: Stack, alert: str, again: Callable[[], object] = lambda: None, **labels: str) -> None:
    """Wait for it, doing again and again what it is to be about."""

    def fires() -> bool:
        again()
        return firing(stack, alert, **labels)

    stack.until(fires)


def test_a_version_that_cannot_be_loaded_has_failed(watched: Stack, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    port = {"datatype": "FP32", "shape": [-1, 4]}
    fields = {"inputs": [{"name": "x", **port}], "outputs": [{"name": "y", **port}], "model": "model.onnx"}
    write_manifest(tmp_path, ["model.onnx"], {"name": "broken", **fields})
    with published(watched, tmp_path, "broken"):
        until_firing(watched, "VersionFailed", model="broken", version="1")


def test_a_version_for_a_device_that_no_worker_has_is_stuck_and_without_worker(watched: Stack, tmp_path: Path) -> None:
    make_slow(tmp_path)
    with published(watched, tmp_path, "elsewhere", engine={"providers": ["cuda"]}):
        until_firing(watched, "VersionStuck", model="elsewhere", version="1")
        until_firing(watched, "ModelWithoutWorker", model="elsewhere", version="1")


def test_requests_whose_deadline_is_too_short_fail(watched: Stack, slow: str) -> None:
    def ask() -> None:
        assert infer(watched, slow, turns(LONG), **NO_CACHE, **{"x-request-timeout-ms": "100"}) == 504

    until_firing(watched, "RequestsFail", ask, model=slow)


def test_more_clients_than_workers_can_serve_wait_long(watched: Stack, slow: str) -> None:
    with watched.load(slow, turns(LONG), clients=8, least=1) as answered:
        until_firing(watched, "RequestsSlow", model=slow)
        until_firing(watched, "QueueLong", model=slow)
    assert set(answered) == {"200"}, answered


def test_memory_that_fills_with_answers_grows(watched: Stack, tmp_path: Path) -> None:
    number = itertools.count()

    def ask() -> int:
        numbers = {"datatype": "FP32", "shape": [ROWS, 4], "data": [next(number), *range(1, 4 * ROWS)]}
        return infer(watched, "kept", {"inputs": [{"name": "x", **numbers}]})

    with published(watched, platform.make_artifacts(tmp_path)["double"], "kept"):
        watched.until(lambda: ask() == 200)
        # To begin with it is the process itself that has just come to its size.
        watched.until(lambda: not firing(watched, "MemoryGrows", job="headrace-gateway"))
        until_firing(watched, "MemoryGrows", ask, job="headrace-gateway")


def test_a_cache_that_is_away_has_its_breaker_opened(watched: Stack, slow: str) -> None:
    number = itertools.count(1)

    def ask() -> None:
        assert infer(watched, slow, turns(next(number))) == 200  # not asked before, so not in the gateway's memory

    with watched.stopped("valkey"):
        until_firing(watched, "CacheBreakerOpen", ask)

    def closed() -> bool:
        ask()
        return bool(watched.query("headrace_cache_breaker_state == 0"))

    watched.until(closed)


def test_a_process_that_hangs_is_down(watched: Stack) -> None:
    id = watched.containers("worker")[0]
    run(["docker", "pause", id])
    try:
        until_firing(watched, "ProcessDown", job="headrace-worker")
    finally:
        run(["docker", "unpause", id])
        watched.until(lambda: health(id) == "healthy")


def test_a_worker_that_is_killed_again_and_again_restarts(watched: Stack) -> None:
    id = watched.containers("worker")[0]
    for _ in range(3):
        before = starts(watched)
        run(["kill", "-KILL", str(inspect(id)["State"]["Pid"])])
        watched.until(lambda before=before: starts(watched) - before)  # type: ignore[misc]
    until_firing(watched, "ProcessRestarts", job="headrace-worker")
    watched.until(lambda: health(id) == "healthy")


def starts(stack: Stack) -> set[str]:
    """Since when each worker's process runs."""
    return {series["value"][1] for series in stack.query('process_start_time_seconds{job="headrace-worker"}')}


def test_workers_that_are_stopped_are_missed(watched: Stack) -> None:
    with watched.stopped("worker"):
        until_firing(watched, "NoWorker")


def test_a_gateway_that_is_stopped_is_missed(watched: Stack) -> None:
    with watched.stopped("gateway"):
        until_firing(watched, "GatewayDown")


def test_a_training_run_that_diverges_goes_wrong(watched: Stack) -> None:
    with training(watched, "diverges"):
        until_firing(watched, "TrainingGoesWrong", model=MODEL, run=RUN, kind="divergence")


def test_there_is_no_alert_that_has_not_fired(watched: Stack) -> None:
    fired = watched.query('count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[1h]))')
    assert {series["metric"]["alertname"] for series in fired} == {alert["alert"] for alert in alerts()}
