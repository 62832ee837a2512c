"""A request's trace, from the containers to a collector that stands in for the one of the profile observability."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.compose.stack import NO_CACHE, Stack, container, run
from tests.compose.test_compose import question

# Prints the path and the body of each request.
COLLECTOR = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.path, self.rfile.read(int(self.headers["content-length"])).hex(), flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
HTTPServer(("", 4318), Receiver).serve_forever()
"""


@contextmanager
def collecting(stack: Stack) -> Iterator[str]:
    """A container that is called `collector`: its id."""
    options = ["--network-alias", "collector", "--entrypoint", "python"]
    with container(stack, "headrace/cli:test", "-c", COLLECTOR, options=options) as id:
        yield id


def services_in(trace: str, collector: str) -> set[str]:
    """The names of the processes that have sent spans of a trace."""
    found = set()
    for line in run(["docker", "logs", collector]).splitlines():
        path, body = line.split()
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(bytes.fromhex(body)).resource_spans:
            if any(span.trace_id.hex() == trace for scope in resource.scope_spans for span in scope.spans):
                found |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
    return found


def traced(stack: Stack, model: str) -> str:
    """The trace of a request that its caller records."""
    trace = uuid4().hex
    headers = {**NO_CACHE, "traceparent": f"00-{trace}-{trace[:16]}-01"}
    stack.http.post(f"/v2/models/{model}/infer", json=question(), headers=headers).raise_for_status()
    return trace


def test_gateway_and_worker_send_their_part_of_a_trace_to_the_collector(stack: Stack, model: str) -> None:
    with collecting(stack) as collector:
        trace = traced(stack, model)
        stack.until(lambda: services_in(trace, collector) == {"headrace-gateway", "headrace-worker"})


def test_prometheus_leads_from_a_latency_to_its_trace(stack: Stack, model: str) -> None:
    trace = traced(stack, model)

    def exemplars() -> list[str]:
        now = time.time()
        asked = f"query=headrace_gateway_request_seconds_bucket&start={now - 300}&end={now}"
        found = stack.prometheus.get(f"/api/v1/query_exemplars?{asked}").json()["data"]
        return [exemplar["labels"].get("trace_id") for series in found for exemplar in series["exemplars"]]

    stack.until(lambda: trace in exemplars())
