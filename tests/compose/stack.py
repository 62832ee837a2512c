"""The platform of deploy/compose.yaml, running under a project name and on ports of its own."""

import json
import math
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests import servers
from tests.platform import publish

DEPLOY = Path(__file__).parents[2] / "deploy"
LIMIT_S = 180
NO_CACHE = {"cache-control": "no-cache"}


@dataclass(frozen=True)
class Stack:
    """`http` asks the gateway, with the admin API's token."""

    environment: dict[str, str] = field(repr=False)
    http: httpx.Client = field(repr=False)
    prometheus: httpx.Client = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://{self.environment['HEADRACE_PUBLISH']}"

    @property
    def network(self) -> str:
        return f"{self.environment['COMPOSE_PROJECT_NAME']}_default"

    def compose(self, *arguments: str) -> str:
        """What `docker compose ...` prints."""
        command = ["docker", "compose", "--file", str(DEPLOY / "compose.yaml"), *arguments]
        return run(command, env=self.environment)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers."""
        return sorted(self.compose("ps", "--quiet", service).split())

    def scale(self, workers: int) -> None:
        self.compose("up", "--detach", "--no-recreate", "--no-build", "--scale", f"worker={workers}")
        self.until(lambda: [health(id) for id in self.containers("worker")] == ["healthy"] * workers)

    @contextmanager
    def stopped(self, service: str) -> Iterator[None]:
        """A service away, and back and well at the end."""
        ids = self.containers(service)
        for id in ids:
            run(["docker", "stop", id])
        try:
            yield
        finally:
            for id in ids:
                run(["docker", "start", id])
            self.until(lambda: {health(id) for id in ids} == {"healthy"})
            self.until(lambda: self.http.get("/v2/health/ready").status_code == 200)

    def processes(self, service: str) -> frozenset[str]:
        """The processes of a service's containers: by container, and since when each runs."""
        label = "label=com.docker.compose"
        project = self.environment["COMPOSE_PROJECT_NAME"]
        named = ["--filter", f"{label}.project={project}", "--filter", f"{label}.service={service}"]
        ids = run(["docker", "ps", "--quiet", *named]).split()
        return frozenset(run(["docker", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}", *ids]).splitlines())

    def publish(self, folder: Path) -> str:
        """Upload the artifact in `folder` and publish it: the model's name, once it answers."""
        name: str = publish(self.http, folder)["model"]
        self.until(lambda: self.http.get(f"/v2/models/{name}/ready").status_code == 200)
        return name

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that Prometheus evaluates an expression to now. What it does not understand fails the test."""
        answer = self.prometheus.get("/api/v1/query", params={"query": expression})
        assert answer.status_code == 200, f"{expression}\n{answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def has_number(self, expression: str) -> bool:
        """Whether there is a series with a number: a quantile of nothing is one with NaN."""
        return any(not math.isnan(float(series["value"][1])) for series in self.query(expression))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait; where it does not come true, say what the containers say."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, self.compose("logs", "--tail", "20")
            time.sleep(0.2)

    @contextmanager
    def load(self, model: str, body: dict[str, Any], clients: int = 4, least: int = 50) -> Iterator[Counter[str]]:
        """Ask without pause, past the cache, as long as the block lasts: how often each answer came.

        There are more than `least` answers before the block, and as many after it.
        """
        answers: Counter[str] = Counter()
        ended = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as client:
                while not ended.is_set():
                    try:
                        answer = client.post(f"/v2/models/{model}/infer", json=body, headers=NO_CACHE)
                        answers[str(answer.status_code) if answer.status_code == 200 else answer.text] += 1
                    except httpx.HTTPError as error:
                        answers[repr(error)] += 1

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            self.until(lambda: answers.total() > least)
            yield answers
            before = answers.total()
            self.until(lambda: answers.total() > before + least)
        finally:
            ended.set()
            for thread in threads:
                thread.join()


@contextmanager
def running() -> Iterator[Stack]:
    """Built, started with two workers, and taken away with its volumes at the end."""
    ports = [servers.free_port() for _ in range(2)]
    environment = {
        **os.environ,
        "COMPOSE_PROJECT_NAME": f"headrace-test-{os.getpid()}",
        "HEADRACE_TAG": "test",
        "HEADRACE_PUBLISH": f"127.0.0.1:{ports[0]}",
        "PROMETHEUS_PUBLISH": f"127.0.0.1:{ports[1]}",
        # Of all requests only those are traced whose caller records them.
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    run([str(DEPLOY / "secrets.sh")])
    token = (DEPLOY / "secrets" / "headrace_admin_token").read_text()
    with (
        client(ports[0], headers={"authorization": f"Bearer {token}"}) as http,
        client(ports[1]) as prometheus,
    ):
        stack = Stack(environment, http, prometheus)
        stack.compose("build", "--quiet")
        try:
            stack.compose("up", "--detach", "--no-build", "--scale", "worker=2")
            stack.until(lambda: answers(http, "/v2/health/live"))
            yield stack
        finally:
            # One at a time: Docker 20.10 may lock up where several leave a network at the same moment.
            for id in stack.compose("ps", "--all", "--quiet").split():
                run(["docker", "rm", "--force", id])
            stack.compose("down", "--volumes")


@contextmanager
def container(stack: Stack, image: str, *command: str, options: Sequence[str] = ()) -> Iterator[str]:
    """A container of `image` beside those of the platform, with `options` of `docker run`: its id."""
    asked = ["docker", "run", "--detach", "--network", stack.network, *options, image, *command]
    id = run(asked).strip()
    try:
        yield id
    finally:
        run(["docker", "rm", "--force", "--volumes", id])


def client(port: int, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False, **options)


def answers(http: httpx.Client, path: str) -> bool:
    try:
        return http.get(path).status_code == 200
    except httpx.TransportError:
        return False


def inspect(id: str) -> dict[str, Any]:
    """What Docker knows of a container."""
    described: dict[str, Any] = json.loads(run(["docker", "container", "inspect", id]))[0]
    return described


def health(id: str) -> str:
    return str(inspect(id)["State"].get("Health", {}).get("Status"))


def run(command: list[str], **options: Any) -> str:
    """What `command` prints; an error with all that it said where it fails."""
    done: subprocess.CompletedProcess[str] = subprocess.run(command, text=True, capture_output=True, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
