"""What deploy/compose.yaml promises, against its own containers."""

import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from tests.compose.slow import LONG, turns
from tests.compose.stack import DEPLOY, NO_CACHE, Stack, health, inspect, run
from tests.compose.stack import answers as reached
from training.demo import digits

SERVICES = ("edge", "gateway", "worker", "envoy", "valkey", "postgres", "prometheus")
MEGABYTE = 1e6

pytestmark = pytest.mark.timeout(900)  # the first of them has the images built


def question(rows: int = 1) -> dict[str, Any]:
    pixels, _ = digits.held_out()
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [rows, 64], "data": pixels[:rows].ravel().tolist()}
    return {"inputs": [tensor]}


def counted(stack: Stack) -> dict[str, float]:
    """How many inferences each worker's container has answered."""
    script = (
        "from urllib.request import urlopen\n"
        "text = urlopen('http://127.0.0.1:8001/metrics').read().decode()\n"
        "print(sum(float(line.split()[-1]) for line in text.splitlines()"
        " if line.startswith('headrace_worker_requests_total')))"
    )
    return {id: float(run(["docker", "exec", id, "python", "-c", script])) for id in stack.containers("worker")}


def test_a_published_model_answers_with_the_right_digits(stack: Stack, model: str) -> None:
    _, expected = digits.held_out()
    answer = stack.http.post(f"/v2/models/{model}/infer", json=question(len(expected))).json()
    probabilities = next(o for o in answer["outputs"] if o["datatype"] == "FP32" and len(o["shape"]) == 2)
    got = np.reshape(probabilities["data"], probabilities["shape"]).argmax(axis=1)
    assert (got == expected).mean() >= 0.95


def test_an_answer_comes_from_the_cache_the_second_time(stack: Stack, model: str) -> None:
    body = question(rows=3)
    assert [stack.http.post(f"/v2/models/{model}/infer", json=body).headers["x-cache"] for _ in range(2)] == [
        "miss",
        "hit",
    ]
    script = 'REDISCLI_AUTH="$(cat /run/secrets/valkey_password)" valkey-cli dbsize'
    (valkey,) = stack.containers("valkey")
    assert int(run(["docker", "exec", valkey, "sh", "-c", script])) >= 1


def test_the_admin_api_wants_the_token(stack: Stack) -> None:
    assert httpx.get(f"{stack.url}/admin/models", trust_env=False).status_code == 401
    assert stack.http.get("/admin/models").status_code == 200


def test_valkey_wants_its_password(stack: Stack) -> None:
    (valkey,) = stack.containers("valkey")
    assert "NOAUTH" in run(["docker", "exec", valkey, "valkey-cli", "dbsize"])


@pytest.mark.parametrize(
    ("password", "said"),
    [("$(cat /run/secrets/postgres_password)", "List of databases"), ("x", "authentication failed")],
)
def test_postgres_wants_its_password(stack: Stack, password: str, said: str) -> None:
    (postgres,) = stack.containers("postgres")
    script = f'PGPASSWORD="{password}" psql --host postgres --username headrace --list 2>&1 || true'
    assert said in run(["docker", "exec", postgres, "sh", "-c", script])


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_published_beyond_this_machine(stack: Stack, service: str) -> None:
    for id in stack.containers(service):
        bindings = inspect(id)["HostConfig"]["PortBindings"] or {}
        assert {each["HostIp"] for bound in bindings.values() for each in bound} <= {"127.0.0.1"}


@pytest.mark.parametrize("service", SERVICES)
def test_containers_have_no_rights(stack: Stack, service: str) -> None:
    for id in stack.containers(service):
        found = inspect(id)
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        assert not found["HostConfig"]["CapAdd"]
        assert "no-new-privileges:true" in found["HostConfig"]["SecurityOpt"]
        status = run(["docker", "exec", id, "cat", "/proc/1/status"])
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
        # Prometheus is who its image says (nobody), as the volume that it writes to belongs to that one.
        if service != "prometheus":
            assert re.search(r"^Uid:\t[1-9]", status, re.MULTILINE)


@pytest.mark.parametrize("image", ["gateway", "worker"])
def test_serving_images_hold_no_compiler_and_no_torch(stack: Stack, image: str) -> None:
    script = "for tool in cc gcc g++ clang make; do ! command -v $tool || exit 1; done; ! python -c 'import torch'"
    run(["docker", "run", "--rm", "--entrypoint", "sh", f"headrace/{image}:test", "-c", script])


@pytest.mark.parametrize(("image", "megabytes"), [("gateway", 150), ("worker", 500)])
def test_images_are_small(stack: Stack, image: str, megabytes: int) -> None:
    base = stack.environment.get("PYTHON_IMAGE", "python:3.11-slim-bookworm")
    sizes = run(["docker", "image", "inspect", "--format", "{{.Size}}", f"headrace/{image}:test", base]).split()
    added = (int(sizes[0]) - int(sizes[1])) / MEGABYTE
    print(f"the {image} adds {added:.0f} MB to its base image")
    assert added < megabytes


@pytest.mark.parametrize(
    ("image", "modules"),
    [("gateway", ["fastapi.applications", "gateway.app"]), ("worker", ["onnxruntime", "model_service.app"])],
)
def test_images_hold_the_bytecode_that_their_read_only_containers_cannot_write(
    stack: Stack, image: str, modules: list[str]
) -> None:
    script = (
        "import sys, pathlib, importlib.util as u; [pathlib.Path(u.find_spec(m).cached).stat() for m in sys.argv[1:]]"
    )
    run(["docker", "run", "--rm", "--entrypoint", "python", f"headrace/{image}:test", "-c", script, *modules])


def test_whatever_runs_has_a_health_check_and_is_healthy(stack: Stack) -> None:
    stack.until(lambda: {health(id) for each in SERVICES for id in stack.containers(each)} == {"healthy"})


def test_prometheus_scrapes_every_process(stack: Stack) -> None:
    def up() -> dict[str, int]:
        found = stack.prometheus.get("/api/v1/query", params={"query": "up == 1"}).json()["data"]["result"]
        jobs = [series["metric"]["job"] for series in found]
        return {job: jobs.count(job) for job in jobs}

    running = {f"headrace-{each}": len(stack.containers(each)) for each in ("edge", "gateway", "envoy", "worker")}
    stack.until(lambda: up() == running)


def test_of_an_envoy_the_metrics_can_be_had_and_nothing_else(stack: Stack) -> None:
    (worker, *_) = stack.containers("worker")
    script = (
        "import sys; from http.client import HTTPConnection as C; c = C(sys.argv[1], 9902, timeout=5);"
        " c.request(sys.argv[2], sys.argv[3]); print(c.getresponse().status)"
    )
    for service in ("edge", "envoy"):
        for method, path, status in (
            ("GET", "/stats/prometheus", "200"),
            ("POST", "/stats/prometheus", "404"),
            ("GET", "/config_dump", "404"),
            ("POST", "/quitquitquit", "404"),
        ):
            asked = ["docker", "exec", worker, "python", "-c", script, service, method, path]
            assert run(asked).strip() == status, (service, method, path)


def test_a_deadline_that_a_gateway_sets_is_kept_by_the_load_balancer(stack: Stack, slow: str) -> None:
    script = (
        "import sys; from http.client import HTTPConnection as C; c = C('envoy', 10000, timeout=60);"
        " c.request('POST', sys.argv[1], sys.argv[2], {'x-envoy-upstream-rq-timeout-ms': sys.argv[3]});"
        " print(c.getresponse().status)"
    )
    # From where a gateway asks, as it is by its address that Envoy believes it; and without the gateway, which would
    # itself give up at that moment.
    (gateway,) = stack.containers("gateway")
    path, body = f"/v2/models/{slow}/versions/1/infer", orjson.dumps(turns(LONG)).decode()
    for deadline, status in (("30000", "200"), ("100", "504")):
        assert run(["docker", "exec", gateway, "python", "-c", script, path, body, deadline]).strip() == status


def test_a_client_hears_at_its_deadline_that_there_is_no_answer(stack: Stack, slow: str) -> None:
    headers = {**NO_CACHE, "x-request-timeout-ms": "100"}
    assert stack.http.post(f"/v2/models/{slow}/infer", json=turns(LONG), headers=headers).status_code == 504


def test_more_workers_share_the_load_and_nothing_is_started_anew(stack: Stack, model: str) -> None:
    before = {id: inspect(id)["State"]["StartedAt"] for s in SERVICES for id in stack.containers(s)}
    with stack.load(model, question()) as answers:
        stack.scale(3)
        # Each worker's own count, once it takes part.
        stack.until(lambda: len(counted(stack)) == 3 and all(counted(stack).values()))
    assert set(answers) == {"200"}, answers
    assert {id: inspect(id)["State"]["StartedAt"] for id in before} == before


@pytest.mark.parametrize("service", ["worker", "gateway"])
def test_containers_are_replaced_one_by_one_and_no_request_fails(stack: Stack, model: str, service: str) -> None:
    before = stack.containers(service)
    with stack.load(model, question()) as answers:
        run([str(DEPLOY / "roll.sh"), service], env=stack.environment)
    assert set(answers) == {"200"}, answers
    after = stack.containers(service)
    assert len(after) == len(before)
    assert not set(after) & set(before)


def test_a_gateway_that_cannot_read_the_registry_replaces_none(stack: Stack, model: str) -> None:
    before = stack.containers("gateway")
    with stack.stopped("postgres"), stack.load(model, question()) as answers:
        command = [str(DEPLOY / "roll.sh"), "gateway"]
        # It listens after ten seconds without a registry, and then says that it is not ready.
        limited = {**stack.environment, "ROLL_TIMEOUT_S": "30"}
        done = subprocess.run(command, env=limited, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the new gateway was taken away, the others serve on: it is not ready: {" in done.stderr
    assert stack.containers("gateway") == before
    assert set(answers) == {"200"}, answers


def test_the_way_in_answers_what_it_has_before_it_stops(stack: Stack, model: str) -> None:
    (edge,) = stack.containers("edge")
    body = orjson.dumps(question())
    stops: list[subprocess.Popen[bytes]] = []

    def slowly() -> Iterator[bytes]:
        yield body[:100]
        stops.append(subprocess.Popen(["docker", "stop", edge], stdout=subprocess.DEVNULL))
        stack.until(lambda: not reached(stack.http, "/v2/health/live"))
        yield body[100:]

    try:
        answer = httpx.post(f"{stack.url}/v2/models/{model}/infer", content=slowly(), timeout=60, trust_env=False)
    finally:
        for stop in stops:
            stop.wait()
        ended = inspect(edge)["State"]
        run(["docker", "start", edge])
        stack.until(lambda: reached(stack.http, "/v2/health/ready"))
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
    assert (ended["Running"], ended["ExitCode"]) == (False, 0)  # not killed when its time was up


def test_where_no_gateway_is_left_the_error_is_json_like_all_others(stack: Stack) -> None:
    with stack.stopped("gateway"):
        answer = stack.http.get("/v2/models/any/ready")
    assert answer.status_code == 503
    assert answer.json()["error"]


def test_a_worker_that_is_killed_costs_no_request(stack: Stack, model: str) -> None:
    victim = stack.containers("worker")[0]
    with stack.load(model, question()) as answers:
        pid = inspect(victim)["State"]["Pid"]
        run(["kill", "-KILL", str(pid)])
        stack.until(lambda: inspect(victim)["RestartCount"] > 0 and health(victim) == "healthy")
    assert set(answers) == {"200"}, answers


@pytest.mark.parametrize("service", ["valkey", "postgres", "prometheus"])
def test_what_stands_beside_the_way_of_a_request_may_be_away(stack: Stack, model: str, service: str) -> None:
    with stack.load(model, question()) as answers, stack.stopped(service):
        time.sleep(3)  # several refreshes of the gateway, several heartbeats
    assert set(answers) == {"200"}, answers
