"""docs/kubernetes.md is true: what it says to write is rendered, and what it says to make is what is looked for."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from headrace.reference import SECTIONS, rows_of
from tests.unit.deploy.manifests import (
    DEPLOY,
    RENDERED,
    ROOT,
    WORKLOADS,
    Resource,
    container,
    find,
    kustomize,
    of_kind,
    pod,
    rendered,
)

GUIDE = (ROOT / "docs" / "kubernetes.md").read_text()


def _block(language: str, about: str) -> str:
    """The one block of code that holds a word."""
    (found,) = (code for code in re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL) if about in code)
    return str(found)


def _keys(resources: list[Resource]) -> set[str]:
    """The keys of the Secret `headrace` that pods are given."""
    secrets = [
        volume["secret"]
        for workload in of_kind(resources, *WORKLOADS)
        for volume in pod(workload)["volumes"]
        if "secret" in volume
    ]
    assert {secret["secretName"] for secret in secrets} == {"headrace"}
    return {item["key"] for secret in secrets for item in secret["items"]}


@pytest.fixture
def own(tmp_path: Path) -> list[Resource]:
    """What the guide's kustomization, in a folder beside a checkout, makes."""
    deploy = tmp_path / "headrace" / "deploy"
    for folder in ("envoy", "kubernetes"):
        shutil.copytree(DEPLOY / folder, deploy / folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kustomization.yaml").write_text(_block("yaml", "kind: Kustomization"))
    return kustomize(tmp_path / "mine")


def test_the_kustomization_of_the_guide_sets_what_it_says(own: list[Resource]) -> None:
    (settings,) = (found for found in of_kind(own, "ConfigMap") if found["metadata"]["name"].startswith("settings-"))
    assert settings["data"]["HEADRACE_ARTIFACTS_URL"].startswith("s3://")
    known = {name for _, each in SECTIONS for name, _, _ in rows_of(each)}
    assert all(name in known or name.startswith("AWS_") for name in settings["data"])
    for name in ("gateway", "worker"):
        from_maps = [each["configMapRef"]["name"] for each in container(find(own, "Deployment", name))["envFrom"][:1]]
        assert from_maps == [settings["metadata"]["name"]]
    images = {container(workload)["image"] for workload in of_kind(own, *WORKLOADS)}
    assert all(image.startswith(("registry.example.com/headrace/", "envoyproxy/")) for image in images)
    route = find(own, "HTTPRoute", "gateway")["spec"]
    assert route["hostnames"] != find(rendered("overlays/production"), "HTTPRoute", "gateway")["spec"]["hostnames"]


def test_the_secret_of_the_guide_has_the_keys_that_pods_are_given() -> None:
    made = set(re.findall(r"--from-(?:file|literal)=(\w+)=", _block("sh", "--from-file=headrace_admin_token=")))
    assert made == _keys(rendered("overlays/production"))


def test_the_demo_runs_on_the_secrets_that_compose_runs_on(tmp_path: Path) -> None:
    script = shutil.copy(DEPLOY / "secrets.sh", tmp_path)
    subprocess.run([script], check=True, stdin=subprocess.DEVNULL, timeout=30)
    files = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert _keys(rendered("overlays/demo")) <= files.keys()
    hosts = {"postgres": files["headrace_database_url"], "valkey": files["headrace_cache_redis_url"]}
    for service, url in hosts.items():
        assert f"@{service}" in url
        assert find(rendered("overlays/demo"), "Service", service)


def test_credentials_of_the_bucket_are_named_as_the_guide_names_them() -> None:
    for name, secret in (("gateway", "artifacts-write"), ("worker", "artifacts-read")):
        (_, reference) = container(find(rendered("base"), "Deployment", name))["envFrom"]
        assert reference == {"secretRef": {"name": secret, "optional": True}}
        assert f"`{secret}`" in GUIDE


def test_the_guide_tells_of_every_overlay_and_component_and_of_no_other() -> None:
    told = set(re.findall(r"`((?:overlays|components)/[\w-]+)`", GUIDE))
    there = {name for name in RENDERED if name != "base"}
    there |= {f"components/{folder.name}" for folder in (DEPLOY / "kubernetes" / "components").iterdir()}
    assert told == there
