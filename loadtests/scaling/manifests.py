"""What deploy/kubernetes says of scaling: the same numbers that a cluster is given, so that none is written twice."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml

KUBERNETES: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
FILES: Final = (
    "base/gateway.yaml",
    "base/worker.yaml",
    "base/envoy.yaml",
    "components/autoscaling/gateway.yaml",
    "components/autoscaling/worker.yaml",
)
Resource = dict[str, Any]


@dataclass(frozen=True)
class Policy:
    """At most so many pods, or so many percent, in a period."""

    type: Literal["Pods", "Percent"]
    value: int
    period_s: int


@dataclass(frozen=True)
class Rules:
    """How replicas may change in one direction."""

    stabilization_s: int
    policies: tuple[Policy, ...]


@dataclass(frozen=True)
class Scaling:
    """A ScaledObject and the Deployment that it scales.

    `metric` is the type of its Prometheus trigger and `threshold` that trigger's; `cpu` is the share of the cores asked
    for (`cores` a pod) that the other trigger aims at.
    """

    minimum: int
    maximum: int
    metric: Literal["Value", "AverageValue"]
    threshold: float
    cpu: float
    up: Rules
    down: Rules
    cores: float
    seen_after_s: int  # how long until a pod that is ready is known to what stands before it


@dataclass(frozen=True)
class Manifests:
    gateway: Scaling
    worker: Scaling
    envoys: int
    envoy_cores: float


@dataclass(frozen=True)
class Activation:
    """When there are workers at all, in components/scale-to-zero: while requests a second, over a window, are more than
    a threshold, as Prometheus sees them at each scrape."""

    polling_s: int
    cooldown_s: int
    window_s: int
    threshold: float
    scrape_s: int


def as_written() -> Manifests:
    """Those of this checkout."""
    return of_resources(
        resource for file in FILES for resource in yaml.safe_load_all((KUBERNETES / file).read_text()) if resource
    )


def of_resources(resources: Iterable[Resource]) -> Manifests:
    """Of what is applied to a cluster. Raises KeyError where something that is needed is not among it."""
    found = {(each["kind"], each["metadata"]["name"]): each.get("spec", {}) for each in resources}
    envoy = found["Deployment", "envoy"]
    return Manifests(
        gateway=_scaling(found["ScaledObject", "gateway"], found["Deployment", "gateway"]),
        worker=_scaling(found["ScaledObject", "worker"], found["Deployment", "worker"]),
        envoys=envoy["replicas"],
        envoy_cores=_cores(envoy),
    )


def activation_as_written() -> Activation:
    """Of components/scale-to-zero, whose changes are made to the worker's ScaledObject here."""
    components = KUBERNETES / "components"
    scaled = yaml.safe_load((components / "autoscaling" / "worker.yaml").read_text())
    for change in yaml.safe_load((components / "scale-to-zero" / "worker.yaml").read_text()):
        *_, field = change["path"].removesuffix("/-").split("/")
        if change["path"].endswith("/-"):
            scaled["spec"][field].append(change["value"])
        else:
            scaled["spec"][field] = change["value"]
    return activation(scaled, yaml.safe_load((components / "monitoring" / "service-monitor.yaml").read_text()))


def activation(scaled: Resource, monitor: Resource) -> Activation:
    """Of the worker's ScaledObject and the ServiceMonitor, as they are applied."""
    (traffic,) = (trigger["metadata"] for trigger in scaled["spec"]["triggers"] if trigger["name"] == "traffic")
    (minutes,) = re.findall(r"\[(\d+)m\]", traffic["query"])
    (endpoint,) = monitor["spec"]["endpoints"]
    return Activation(
        polling_s=scaled["spec"]["pollingInterval"],
        cooldown_s=scaled["spec"]["cooldownPeriod"],
        window_s=60 * int(minutes),
        threshold=float(traffic["activationThreshold"]),
        scrape_s=int(endpoint["interval"].removesuffix("s")),
    )


def _scaling(scaled: Resource, deployment: Resource) -> Scaling:
    triggers = {trigger["type"]: trigger for trigger in scaled["triggers"]}
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return Scaling(
        minimum=scaled["minReplicaCount"],
        maximum=scaled["maxReplicaCount"],
        metric=triggers["prometheus"]["metricType"],
        threshold=float(triggers["prometheus"]["metadata"]["threshold"]),
        cpu=float(triggers["cpu"]["metadata"]["value"]) / 100,
        up=_rules(behavior["scaleUp"]),
        down=_rules(behavior["scaleDown"]),
        cores=_cores(deployment),
        seen_after_s=deployment.get("minReadySeconds", 0),
    )


def _rules(rules: Resource) -> Rules:
    policies = [Policy(policy["type"], policy["value"], policy["periodSeconds"]) for policy in rules["policies"]]
    return Rules(rules["stabilizationWindowSeconds"], tuple(policies))


def _cores(deployment: Resource) -> float:
    (container,) = deployment["template"]["spec"]["containers"]
    return float(container["resources"]["requests"]["cpu"])
