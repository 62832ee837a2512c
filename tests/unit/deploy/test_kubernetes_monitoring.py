"""On Kubernetes Prometheus sees what it sees in compose, by the same names; traces find their way to a collector."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import validate

from tests.unit.deploy.manifests import (
    COMPONENT,
    DEPLOY,
    KUBERNETES,
    Resource,
    container,
    find,
    kustomize,
    of_kind,
    rendered,
    variables,
)
from tests.unit.deploy.test_kubernetes_schemas import CUSTOM, NEWEST

MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
# Compose alone has an Envoy before the gateways, a trainer, and a collector of its own.
COMPOSE_ONLY = {"headrace-edge", "headrace-trainer", "headrace-collector"}


@cache
def production() -> list[Resource]:
    return rendered("overlays/production")


def scraped_in_compose() -> dict[str, tuple[str, int]]:
    """Where each job of deploy/prometheus is asked: path and port."""
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    return {
        job["job_name"]: (job.get("metrics_path", "/metrics"), job["dns_sd_configs"][0]["port"])
        for job in jobs
        if job["job_name"] not in COMPOSE_ONLY
    }


def monitored() -> dict[str, tuple[str, str]]:
    """What the Prometheus Operator is told of: path and name of the port, by the job's name."""
    found = {}
    for monitor in of_kind(production(), "ServiceMonitor", "PodMonitor"):
        spec = monitor["spec"]
        assert spec["jobLabel"] == COMPONENT
        (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        (relabeling,) = endpoint["relabelings"]
        assert (relabeling["sourceLabels"], relabeling["targetLabel"]) == (["job"], "job")
        (named,) = (each["values"] for each in spec["selector"]["matchExpressions"] if each["key"] == COMPONENT)
        for name in named:
            found[relabeling["replacement"].replace("$1", name)] = (endpoint["path"], endpoint["port"])
    return found


def port_of(job: str, name: str) -> int:
    ports = container(find(production(), "Deployment", job.removeprefix("headrace-")))["ports"]
    (port,) = (each["containerPort"] for each in ports if each["name"] == name)
    return int(port)


def test_jobs_are_called_and_asked_as_in_compose() -> None:
    ports = {job: (path, port_of(job, name)) for job, (path, name) in monitored().items()}
    assert ports == scraped_in_compose()


@pytest.mark.parametrize(("policy", "component"), [("prometheus", "worker"), ("prometheus-to-envoy", "envoy")])
def test_prometheus_may_ask_what_is_closed_to_others(policy: str, component: str) -> None:
    spec = find(production(), "NetworkPolicy", policy)["spec"]
    assert spec["podSelector"] == {"matchLabels": {COMPONENT: component}}
    (rule,) = spec["ingress"]
    _, port = scraped_in_compose()[f"headrace-{component}"]
    assert (rule["from"], rule["ports"]) == ([MONITORING], [{"protocol": "TCP", "port": port}])


def test_envoy_tells_its_metrics_on_that_port_and_nothing_else() -> None:
    envoy = find(production(), "Deployment", "envoy")
    (volume,) = envoy["spec"]["template"]["spec"]["volumes"]
    config = find(production(), "ConfigMap", volume["configMap"]["name"])["data"]
    (mount,) = container(envoy)["volumeMounts"]
    assert f"$$(cat {mount['mountPath']}/stats.yaml)" in container(envoy)["command"][2]
    (listener,) = yaml.safe_load(config["stats.yaml"])["static_resources"]["listeners"]
    path, port = scraped_in_compose()["headrace-envoy"]
    assert listener["address"]["socket_address"]["port_value"] == port
    (host,) = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    assert [route["match"]["path"] for route in host["routes"]] == [path]


def test_the_alerts_are_those_of_compose() -> None:
    (rule,) = of_kind(production(), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())


def test_where_no_worker_is_no_fault_its_absence_alone_is_no_alert() -> None:
    def alerts(overlay: str) -> dict[str, Resource]:
        (rule,) = of_kind(rendered(overlay), "PrometheusRule")
        (group,) = rule["spec"]["groups"]
        return {alert["alert"]: alert for alert in group["rules"]}

    everywhere, to_zero = alerts("overlays/production"), alerts("overlays/scale-to-zero")
    assert {name for name in everywhere if everywhere[name] != to_zero[name]} == {"NoWorker", "ModelWithoutWorker"}
    assert to_zero["NoWorker"]["expr"] == (
        f"{everywhere['NoWorker']['expr']}"
        ' and on () sum(rate(headrace_gateway_request_seconds_count{model!=""}[5m])) > 0'
    )
    assert to_zero["ModelWithoutWorker"]["expr"] == (
        f"{everywhere['ModelWithoutWorker']['expr']} and on () max(headrace_gateway_workers) > 0"
    )


def test_the_script_writes_the_alerts_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "prometheus").mkdir()
    (tmp_path / "kubernetes" / "components" / "monitoring").mkdir(parents=True)
    for file in ("prometheus/alerts.yml", "kubernetes/alerts.sh"):
        (tmp_path / file).write_bytes((DEPLOY / file).read_bytes())
    subprocess.run(["bash", tmp_path / "kubernetes" / "alerts.sh"], check=True, timeout=30)
    written = "components/monitoring/alerts.yaml"
    assert (tmp_path / "kubernetes" / written).read_text() == (KUBERNETES / written).read_text()


def traced(folder: Path) -> list[Resource]:
    """The production overlay with components/tracing."""
    paths = [Path(*[".."] * len(folder.resolve().parts[1:])) / (KUBERNETES / each).relative_to("/")
             for each in ("overlays/production", "components/tracing")]  # fmt: skip
    own: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    own |= {"resources": [str(paths[0])], "components": [str(paths[1])]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(own))
    return kustomize(folder)


def test_gateways_and_workers_send_their_traces_where_they_may(tmp_path: Path) -> None:
    resources = traced(tmp_path)
    for resource in (each for each in resources if each["kind"] not in CUSTOM):
        validate(resource, NEWEST, strict=True)
    (rule,) = find(resources, "NetworkPolicy", "collector")["spec"]["egress"]
    (port,) = rule["ports"]
    assert rule["to"] == [MONITORING]
    for name in ("gateway", "worker"):
        endpoint = variables(find(resources, "Deployment", name))["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert endpoint == f"http://collector.monitoring.svc:{port['port']}"
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in variables(find(production(), "Deployment", name))
