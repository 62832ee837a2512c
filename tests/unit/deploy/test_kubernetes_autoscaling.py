"""What decides how many there are reads what the processes really export."""

import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import pytest_asyncio
from fastapi import FastAPI
from prometheus_client.core import Metric

from cache.settings import CacheSettings
from gateway.app import create_app
from gateway.composition import Components, compose
from gateway.settings import GatewaySettings
from model_service.metrics import ModelCollector
from model_service.models import Models
from storage.settings import StorageSettings
from tests.unit.deploy.manifests import RENDERED, Resource, container, find, of_kind, rendered

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
# What Prometheus itself says of a series that it scraped in a cluster.
OF_THE_TARGET = {"namespace"}


@pytest_asyncio.fixture
async def components(tmp_path: Path) -> AsyncIterator[Components]:
    storage = StorageSettings(database_url=f"sqlite+aiosqlite:///{tmp_path}/registry.db", artifacts_url=str(tmp_path))
    components = compose(GatewaySettings(), storage, CacheSettings())
    yield components
    await components.gateway.cache.close()
    await components.database.close()


@pytest.fixture
def app(components: Components) -> FastAPI:
    return create_app(components)


def _exported(families: Iterable[Metric]) -> set[str]:
    return {f"{family.name}{suffix}" for family in families for suffix in SUFFIXES.get(family.type, ())}


def _triggers(name: str) -> list[Resource]:
    return [trigger for scaled in of_kind(rendered(name), "ScaledObject") for trigger in scaled["spec"]["triggers"]]


def _queries(name: str) -> list[str]:
    return [trigger["metadata"]["query"] for trigger in _triggers(name) if trigger["type"] == "prometheus"]


def _trigger(overlay: str, scaled: str, name: str) -> Resource:
    (found,) = (
        trigger
        for trigger in find(rendered(overlay), "ScaledObject", scaled)["spec"]["triggers"]
        if trigger["name"] == name
    )
    trigger: Resource = found
    return trigger


@pytest.mark.parametrize("name", [name for name in RENDERED if name not in ("base", "overlays/demo")])
async def test_every_metric_and_label_is_exported(name: str, components: Components) -> None:
    components.metrics.record_answer("oip", "m", "1", "ModelNotReady", 0.1)
    exported = _exported(components.metrics.registry.collect()) | _exported(ModelCollector(Models()).collect())
    labels = {
        label
        for family in components.metrics.registry.collect()
        if family.name == "headrace_gateway_request_seconds"
        for sample in family.samples
        for label in sample.labels
    }
    assert _queries(name)
    for query in _queries(name):
        metrics = set(re.findall(r"\bheadrace_\w+", query))
        assert metrics
        assert metrics <= exported
        for selector in re.findall(r"\{(.*?)\}", query):
            assert set(re.findall(r"(\w+)!?=", selector)) <= labels | OF_THE_TARGET


@pytest.mark.parametrize("name", RENDERED)
def test_queries_ask_for_the_namespace_that_everything_runs_in(name: str) -> None:
    spaces = {resource["metadata"].get("namespace") for resource in rendered(name) if resource["kind"] != "Namespace"}
    assert spaces == {"headrace"}
    for query in _queries(name):
        assert query.count('namespace="headrace"') == len(re.findall(r"\bheadrace_\w+", query))


def test_what_is_scaled_is_there_and_says_no_number_of_its_own() -> None:
    resources = rendered("overlays/production")
    assert {found["metadata"]["name"] for found in of_kind(resources, "ScaledObject")} == {"gateway", "worker"}
    for scaled in of_kind(resources, "ScaledObject"):
        target = find(resources, "Deployment", scaled["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in target["spec"]  # or every apply would undo what was scaled
        assert container(target)["resources"]["requests"]["cpu"]  # what a utilization is of
        assert 2 <= scaled["spec"]["minReplicaCount"] < scaled["spec"]["maxReplicaCount"]
    assert "replicas" in find(resources, "Deployment", "envoy")["spec"]


def test_gateways_follow_the_requests_in_flight_well_before_they_refuse() -> None:
    trigger = _trigger("overlays/production", "gateway", "in-flight")
    assert "headrace_gateway_in_flight{" in trigger["metadata"]["query"]
    assert trigger["metricType"] == "AverageValue"  # the sum of all, divided among them
    assert float(trigger["metadata"]["threshold"]) <= GatewaySettings().max_in_flight / 2


def test_workers_follow_the_queue_time() -> None:
    trigger = _trigger("overlays/production", "worker", "queue-time")
    assert "headrace_worker_queue_seconds_sum" in trigger["metadata"]["query"]
    # A time does not become less by being divided among workers.
    assert trigger["metricType"] == "Value"


def test_workers_with_gpus_follow_their_engines_in_place_of_their_cores() -> None:
    resources = rendered("overlays/gpu")
    names = [trigger["name"] for trigger in find(resources, "ScaledObject", "worker")["spec"]["triggers"]]
    assert names == ["queue-time", "engine-time"]
    worker = find(resources, "Deployment", "worker")
    assert container(worker)["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container(worker)["image"] == "headrace/worker-gpu:dev"
    assert worker["spec"]["template"]["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_workers_that_are_none_are_woken_by_what_the_gateway_counts() -> None:
    worker = find(rendered("overlays/scale-to-zero"), "ScaledObject", "worker")["spec"]
    assert worker["minReplicaCount"] == 0
    traffic = _trigger("overlays/scale-to-zero", "worker", "traffic")
    assert "headrace_gateway_" in traffic["metadata"]["query"]  # nothing of the workers, which are not there
    assert float(traffic["metadata"]["activationThreshold"]) == 0
    # A gateway that is not ready without workers would never see the request that wakes them.
    gateway = container(find(rendered("overlays/scale-to-zero"), "Deployment", "gateway"))
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/v2/health/live"


async def test_every_inference_path_is_published_and_the_administration_is_not(app: FastAPI) -> None:
    route = find(rendered("overlays/production"), "HTTPRoute", "gateway")["spec"]
    prefixes = tuple(match["path"]["value"] for rule in route["rules"] for match in rule["matches"])
    hot = [path for found in app.routes if (path := getattr(found, "path", None)) and path != "/metrics"]
    documented = [path for path in app.openapi()["paths"] if not path.startswith("/admin/")]
    assert hot
    assert documented
    for path in (*hot, *documented):
        assert path.startswith(prefixes)
    for path in ("/admin/models", "/metrics", "/docs", "/openapi.json"):
        assert not path.startswith(prefixes)


def test_the_route_waits_as_long_as_a_request_may_ask_the_gateway_to() -> None:
    resources = rendered("overlays/production")
    (rule,) = find(resources, "HTTPRoute", "gateway")["spec"]["rules"]
    assert float(rule["timeouts"]["request"].rstrip("s")) > GatewaySettings().max_timeout_ms / 1000
    (backend,) = rule["backendRefs"]
    service = find(resources, "Service", backend["name"])
    assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}
