"""Who may speak to whom, by the NetworkPolicies: what compose shows, and nothing else."""

from itertools import product

import pytest

from tests.unit.deploy.manifests import (
    RENDERED,
    find,
    leaves_to,
    of_kind,
    pods,
    reaches,
    rendered,
    selects,
)

PORTS = {"gateway": 8000, "envoy": 10000, "worker": 8001, "postgres": 5432, "valkey": 6379}
# The ways that compose's configuration names, between containers.
WAYS = {("gateway", "envoy"), ("envoy", "worker")}
STORES = {
    ("gateway", "postgres"),
    ("worker", "postgres"),
    ("migrate", "postgres"),
    ("gateway", "valkey"),
}
# One of the internet, one of a private network, and where a cloud tells a machine its credentials.
PUBLIC, PRIVATE, METADATA = "93.184.216.34", "10.1.2.3", "169.254.169.254"
ANY_PORT = (53, 80, 443, 5432, 6379, 8000, 8001, 9000, 10000)


@pytest.mark.parametrize("name", RENDERED)
def test_nothing_is_open_that_no_policy_opens(name: str) -> None:
    everything = find(rendered(name), "NetworkPolicy", "nothing-else")["spec"]
    assert everything == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("name", RENDERED)
def test_pods_reach_what_they_ask_and_nothing_else(name: str) -> None:
    resources = rendered(name)
    running = pods(resources)
    expected = {(a, b, PORTS[b]) for a, b in WAYS | STORES if a in running and b in running}
    found = {
        (source, target, port)
        for source, target, port in product(running, running, ANY_PORT)
        if reaches(resources, source, target, port)
    }
    assert found == expected


@pytest.mark.parametrize("name", RENDERED)
def test_the_gateway_alone_can_be_reached_from_elsewhere(name: str) -> None:
    for workload, labels in pods(rendered(name)).items():
        open_to_all = [
            rule
            for policy in of_kind(rendered(name), "NetworkPolicy")
            if selects(policy["spec"]["podSelector"], labels)
            for rule in policy["spec"].get("ingress", [])
            if "from" not in rule
        ]
        if workload == "gateway":
            assert open_to_all == [{"ports": [{"protocol": "TCP", "port": PORTS["gateway"]}]}]
        else:
            assert not open_to_all


@pytest.mark.parametrize("name", RENDERED)
def test_nothing_reaches_the_internet_or_the_machines_credentials(name: str) -> None:
    for workload, address, port in product(pods(rendered(name)), (PUBLIC, METADATA), ANY_PORT):
        assert not leaves_to(rendered(name), workload, address, port), f"{workload} reaches {address}:{port}"


def test_each_process_reaches_the_stores_that_it_needs_in_a_private_network() -> None:
    needed = {"gateway": {443, 5432, 6379}, "worker": {443, 5432}, "migrate": {5432}, "envoy": set()}
    for workload in pods(rendered("base")):
        found = {port for port in ANY_PORT if leaves_to(rendered("base"), workload, PRIVATE, port)}
        assert found == needed[workload]


def test_all_pods_may_ask_the_clusters_dns_and_no_other() -> None:
    policy = find(rendered("base"), "NetworkPolicy", "dns")["spec"]
    assert policy["podSelector"] == {}
    (rule,) = policy["egress"]
    (server,) = rule["to"]
    assert server.keys() == {"namespaceSelector", "podSelector"}
    assert {(entry["protocol"], entry["port"]) for entry in rule["ports"]} == {("UDP", 53), ("TCP", 53)}
