"""What runs in a pod, with which rights, and how it begins and ends."""

import re
from itertools import pairwise
from typing import TypeVar

import pytest
import yaml
from pydantic_settings import BaseSettings

from gateway.__main__ import DRAIN_S
from gateway.settings import GatewaySettings
from headrace.reference import SECTIONS, rows_of
from model_service.settings import WorkerSettings
from tests.unit.deploy.manifests import (
    COMPONENT,
    DEPLOY,
    KUBERNETES,
    RENDERED,
    WORKLOADS,
    Resource,
    container,
    find,
    of_kind,
    pod,
    pods,
    rendered,
    selects,
    variables,
)

# Storage that a pod of Pod Security's level "restricted" may have, of what there is here.
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
BYTES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
Settings = TypeVar("Settings", bound=BaseSettings)
in_every_rendering = pytest.mark.parametrize("name", RENDERED)


def workloads(name: str) -> list[Resource]:
    return of_kind(rendered(name), *WORKLOADS)


def ours(name: str) -> list[Resource]:
    """Those whose process reads our settings."""
    return [
        workload for workload in workloads(name) if workload["metadata"]["name"] in ("gateway", "worker", "migrate")
    ]


def size(quantity: str) -> int:
    return int(quantity[:-2]) * BYTES[quantity[-2:]]


def seconds_slept(workload: Resource) -> int:
    """How long its preStop takes."""
    before = container(workload).get("lifecycle", {}).get("preStop", {})
    if "sleep" in before:
        return int(before["sleep"]["seconds"])
    return sum(
        int(slept) for slept in re.findall(r"\bsleep (\d+)", " ".join(before.get("exec", {}).get("command", [])))
    )


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One in which nothing is set."""
    for _, settings in SECTIONS:
        for name, _, _ in rows_of(settings):
            monkeypatch.delenv(name, raising=False)
    return monkeypatch


def settings_of(kind: type[Settings], workload: Resource, environment: pytest.MonkeyPatch) -> Settings:
    """What a process reads that is started so."""
    for name, value in variables(workload).items():
        environment.setenv(name, value.replace("$(POD_IP)", "10.0.0.1"))
    return kind()


def cluster() -> dict[str, Resource]:
    return {found["metadata"]["name"]: found for found in of_kind(rendered("overlays/production"), "Deployment")}


def envoy() -> Resource:
    """Envoy's configuration as its pods have it."""
    resources = rendered("overlays/production")
    (volume,) = pod(find(resources, "Deployment", "envoy"))["volumes"]
    config: Resource = yaml.safe_load(find(resources, "ConfigMap", volume["configMap"]["name"])["data"]["envoy.yaml"])
    return config


@in_every_rendering
def test_a_pod_has_no_more_rights_than_pod_security_calls_restricted(name: str) -> None:
    for workload in workloads(name):
        spec = pod(workload)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        assert all(volume.keys() - {"name"} <= VOLUMES for volume in spec.get("volumes", []))
        rights = container(workload)["securityContext"]
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in rights
        assert not any("hostPort" in port for port in container(workload).get("ports", []))


@in_every_rendering
def test_a_pod_writes_to_its_volumes_only_and_has_no_credentials_of_the_cluster(name: str) -> None:
    for workload in workloads(name):
        assert container(workload)["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod(workload)["automountServiceAccountToken"] is False
        assert pod(workload)["enableServiceLinks"] is False
        for volume in pod(workload)["volumes"]:
            if "emptyDir" in volume:
                assert size(volume["emptyDir"]["sizeLimit"]) > 0


@in_every_rendering
def test_a_container_says_what_it_needs_and_has_its_memory_bounded(name: str) -> None:
    for workload in workloads(name):
        resources = container(workload)["resources"]
        assert resources["requests"]["cpu"]
        assert size(resources["limits"]["memory"]) >= size(resources["requests"]["memory"])


@in_every_rendering
def test_whatever_serves_says_when_it_has_started_and_whether_it_is_ready_and_lives(name: str) -> None:
    for workload in workloads(name):
        if workload["kind"] != "Job":
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container(workload).keys()


@in_every_rendering
def test_every_variable_is_one_that_a_process_reads(name: str) -> None:
    for workload in ours(name):
        known = {name for _, settings in SECTIONS for name, _, _ in rows_of(settings)} | {"HEADRACE_SECRETS_DIR"}
        given = {name for name in variables(workload) if name.startswith("HEADRACE_")}
        assert given
        assert given <= known


@in_every_rendering
def test_logs_are_for_what_collects_them(name: str) -> None:
    workloads = {found["metadata"]["name"]: found for found in of_kind(rendered(name), "Deployment")}
    assert [variables(workloads[each])["HEADRACE_LOG_FORMAT"] for each in ("gateway", "worker")] == ["json", "json"]


@in_every_rendering
def test_what_is_secret_comes_as_the_files_that_the_process_looks_for(name: str) -> None:
    for workload in ours(name):
        (secrets,) = (volume["secret"] for volume in pod(workload)["volumes"] if "secret" in volume)
        variable = {name.lower() for _, settings in SECTIONS for name, _, _ in rows_of(settings)}
        assert all(item["key"] == item["path"] and item["path"] in variable for item in secrets["items"])
        (mount,) = (each for each in container(workload)["volumeMounts"] if each["name"] == "secrets")
        assert mount["mountPath"] == variables(workload)["HEADRACE_SECRETS_DIR"]
        assert "headrace_database_url" in {item["path"] for item in secrets["items"]}
        # No secret in what is applied, nor in the environment, which every error report may show.
        assert (
            not {"HEADRACE_DATABASE_URL", "HEADRACE_ADMIN_TOKEN", "HEADRACE_CACHE_REDIS_URL", "HEADRACE_CACHE_SECRET"}
            & variables(workload).keys()
        )


@in_every_rendering
def test_nothing_that_is_applied_holds_a_secret(name: str) -> None:
    assert not of_kind(rendered(name), "Secret")


@in_every_rendering
def test_every_selector_selects_the_pods_of_one_workload(name: str) -> None:
    resources = rendered(name)
    for service in of_kind(resources, "Service"):
        found = [
            pod
            for pod, labels in pods(resources).items()
            if selects({"matchLabels": service["spec"]["selector"]}, labels)
        ]
        assert found == [service["metadata"]["name"]]
        workload = next(each for each in workloads(name) if each["metadata"]["name"] == found[0])
        names = {port["name"] for port in container(workload)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    for budget in of_kind(resources, "PodDisruptionBudget"):
        found = [pod for pod, labels in pods(resources).items() if selects(budget["spec"]["selector"], labels)]
        assert found == [budget["metadata"]["name"]]
    for workload in of_kind(resources, "Deployment", "StatefulSet"):
        assert selects(workload["spec"]["selector"], workload["spec"]["template"]["metadata"]["labels"])
        for spread in pod(workload).get("topologySpreadConstraints", []):
            assert selects(spread["labelSelector"], workload["spec"]["template"]["metadata"]["labels"])
            assert spread["labelSelector"]["matchLabels"] == {COMPONENT: workload["metadata"]["name"]}
    for monitor in of_kind(resources, "ServiceMonitor"):
        watched = {
            service["metadata"]["name"]: service["spec"]["ports"]
            for service in of_kind(resources, "Service")
            if selects(monitor["spec"]["selector"], service["metadata"].get("labels", {}))
        }
        assert watched.keys() == {"gateway", "worker"}
        (endpoint,) = monitor["spec"]["endpoints"]
        assert all(endpoint["port"] in {port["name"] for port in ports} for ports in watched.values())


def test_what_serves_outlives_a_node_and_a_roll_takes_none_away() -> None:
    for name in ("gateway", "worker", "envoy"):
        workload = find(rendered("base"), "Deployment", name)
        assert workload["spec"]["replicas"] >= 2
        assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        keys = {spread["topologyKey"] for spread in pod(workload)["topologySpreadConstraints"]}
        assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        assert find(rendered("base"), "PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1


def test_envoy_reads_the_very_file_that_compose_mounts() -> None:
    assert envoy() == yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())
    arguments = container(cluster()["envoy"])["args"]
    (mount,) = container(cluster()["envoy"])["volumeMounts"]
    assert arguments[arguments.index("--config-path") + 1] == f"{mount['mountPath']}/envoy.yaml"


def test_ports_and_names_lead_from_the_gateway_to_envoy_and_on_to_every_worker(environment: pytest.MonkeyPatch) -> None:
    resources, (listener,) = rendered("overlays/production"), envoy()["static_resources"]["listeners"]
    (workers,) = envoy()["static_resources"]["clusters"]
    listens = listener["address"]["socket_address"]["port_value"]
    (target,) = workers["load_assignment"]["endpoints"][0]["lb_endpoints"]
    asked = target["endpoint"]["address"]["socket_address"]

    gateway = settings_of(GatewaySettings, cluster()["gateway"], environment)
    assert gateway.upstream == f"http://envoy:{listens}"
    assert find(resources, "Service", "envoy")["spec"]["ports"][0]["port"] == listens
    assert container(cluster()["envoy"])["ports"][0]["containerPort"] == listens
    assert find(resources, "Service", "gateway")["spec"]["ports"][0]["port"] == gateway.port
    assert container(cluster()["gateway"])["ports"][0]["containerPort"] == gateway.port

    worker = settings_of(WorkerSettings, cluster()["worker"], environment)
    service = find(resources, "Service", asked["address"])
    assert service["spec"]["clusterIP"] == "None"  # an address for each worker, among which Envoy chooses
    assert workers["cluster_type"]["name"] == "envoy.cluster.dns"
    assert asked["port_value"] == worker.port == container(cluster()["worker"])["ports"][0]["containerPort"]
    assert worker.url == f"http://10.0.0.1:{worker.port}"


def test_probes_ask_what_the_processes_answer() -> None:
    for name in ("gateway", "worker"):
        probes = container(cluster()[name])
        assert probes["startupProbe"]["httpGet"] == {"path": "/v2/health/live", "port": "http"}
        assert probes["livenessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": "http"}
        # Which says no while it drains, and while what it needs is not there.
        assert probes["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": "http"}
    (workers,) = envoy()["static_resources"]["clusters"]
    (check,) = workers["health_checks"]
    assert check["http_health_check"]["path"] == "/v2/health/ready"


def test_a_worker_is_given_the_time_that_its_drain_takes(environment: pytest.MonkeyPatch) -> None:
    worker = settings_of(WorkerSettings, cluster()["worker"], environment)
    (workers,) = envoy()["static_resources"]["clusters"]
    (check,) = workers["health_checks"]
    assert worker.drain_s >= 2 * float(check["interval"].rstrip("s"))
    leaves_in = seconds_slept(cluster()["worker"]) + worker.drain_s + worker.stop_timeout_s
    assert pod(cluster()["worker"])["terminationGracePeriodSeconds"] >= leaves_in + 5


def test_a_gateway_is_given_the_time_that_its_drain_takes() -> None:
    leaves_in = seconds_slept(cluster()["gateway"]) + DRAIN_S
    assert seconds_slept(cluster()["gateway"]) >= 5  # until no new connection comes
    assert pod(cluster()["gateway"])["terminationGracePeriodSeconds"] >= leaves_in + 5


def test_envoy_stays_until_the_requests_that_it_has_are_answered(environment: pytest.MonkeyPatch) -> None:
    workload = cluster()["envoy"]
    gateway = settings_of(GatewaySettings, cluster()["gateway"], environment)
    arguments = container(workload)["args"]
    drains = int(arguments[arguments.index("--drain-time-s") + 1])
    assert seconds_slept(workload) >= drains + gateway.default_timeout_ms / 1000
    assert pod(workload)["terminationGracePeriodSeconds"] >= seconds_slept(workload) + 5
    script = container(workload)["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert "/etc/envoy/admin.sh POST '/drain_listeners?graceful&skip_exit';" in script
    (volume,) = pod(workload)["volumes"]
    asks = find(rendered("overlays/production"), "ConfigMap", volume["configMap"]["name"])["data"]["admin.sh"]
    admin = envoy()["admin"]["address"]["socket_address"]
    assert f"/dev/tcp/{admin['address']}/{admin['port_value']}\n" in asks


def test_a_worker_computes_on_the_cores_that_it_asks_for(environment: pytest.MonkeyPatch) -> None:
    worker = settings_of(WorkerSettings, cluster()["worker"], environment)
    assert str(worker.threads) == container(cluster()["worker"])["resources"]["requests"]["cpu"]


def test_the_largest_file_that_the_gateway_takes_fits_where_it_puts_it(environment: pytest.MonkeyPatch) -> None:
    gateway = settings_of(GatewaySettings, cluster()["gateway"], environment)
    (tmp,) = (volume for volume in pod(cluster()["gateway"])["volumes"] if volume["name"] == "tmp")
    assert size(tmp["emptyDir"]["sizeLimit"]) >= 2 * gateway.max_file_bytes


def test_a_worker_has_a_volume_of_its_own_to_lay_models_out_on() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    (folder,) = re.findall(r"HEADRACE_WORKER_CACHE_DIR=(\S+)", image)
    assert {"name": "loaded", "mountPath": folder} in container(cluster()["worker"])["volumeMounts"]


def test_what_runs_is_what_the_dockerfile_builds() -> None:
    built = set(re.findall(r"^FROM base AS (\w+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE))
    images = {container(each)["image"] for each in workloads("base")}
    assert {f"headrace/{target}:dev" for target in built - {"trainer"}} <= images  # training is nothing that stays up
    compose = (DEPLOY / "compose.yaml").read_text()
    for image in images | {container(each)["image"] for each in workloads("overlays/demo")}:
        assert image.startswith("headrace/") or f":-{image}}}" in compose


def test_every_variable_says_what_it_does_where_it_is_set() -> None:
    for path in KUBERNETES.rglob("*.yaml"):
        lines = path.read_text().splitlines()
        for above, line in pairwise(["", *lines]):
            if re.search(r"name: [A-Z][A-Z_]+\b", line):
                assert " # " in line or above.lstrip().startswith("#"), f"{path.name}: {line}"
