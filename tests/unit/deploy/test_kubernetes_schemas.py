"""Every resource is one that a cluster accepts: built-in kinds by Kubernetes' own schemas, in the oldest release that
docs/kubernetes.md names and in the newest; KEDA's and the Prometheus Operator's by models generated from their CRDs."""

from typing import Annotated, Literal

import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule, ServiceMonitor
from kubernetes_validate import ValidationError, validate
from pydantic import BaseModel, ConfigDict, Field

from tests.unit.deploy.manifests import RENDERED, ROOT, Resource, of_kind, rendered

OLDEST, NEWEST = "1.30", "1.37"
OPERATORS: tuple[type[BaseModel], ...] = (PodMonitor, PrometheusRule, ServiceMonitor)
CUSTOM = ("ScaledObject", "HTTPRoute", *(model.__name__ for model in OPERATORS))


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class Gateway(Strict):
    name: Name
    namespace: Name


class Path(Strict):
    type: Literal["Exact", "PathPrefix"]
    value: Annotated[str, Field(max_length=1024, pattern=r"^/[^?#]*$")]


class Match(Strict):
    path: Path


class Backend(Strict):
    name: Name
    port: Annotated[int, Field(ge=1, le=65535)]


class Timeouts(Strict):
    request: Annotated[str, Field(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")]


class Rule(Strict):
    matches: Annotated[list[Match], Field(min_length=1, max_length=64)]
    backend_refs: Annotated[list[Backend], Field(alias="backendRefs", max_length=16)]
    timeouts: Timeouts


class HTTPRouteSpec(Strict):
    """As much of the Gateway API's HTTPRoute as is used here: no package holds its schema."""

    parent_refs: Annotated[list[Gateway], Field(alias="parentRefs", max_length=32)]
    hostnames: Annotated[list[Name], Field(max_length=16)]
    rules: Annotated[list[Rule], Field(min_length=1, max_length=16)]


def _unknown(given: object, understood: object, at: str = "") -> list[str]:
    """What a model has left out of what it was given."""
    if isinstance(given, dict) and isinstance(understood, dict):
        return [
            found
            for key, value in given.items()
            for found in ([f"{at}.{key}"] if key not in understood else _unknown(value, understood[key], f"{at}.{key}"))
        ]
    if isinstance(given, list) and isinstance(understood, list):
        return [
            found
            for i, (a, b) in enumerate(zip(given, understood, strict=True))
            for found in _unknown(a, b, f"{at}[{i}]")
        ]
    return []


def _check_custom(resource: Resource, model: type[BaseModel]) -> None:
    understood = model.model_validate(resource).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert not _unknown(resource, understood)


@pytest.mark.parametrize("name", RENDERED)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_built_in_resource_is_one_of_kubernetes(name: str, version: str) -> None:
    checked = [resource for resource in rendered(name) if resource["kind"] not in CUSTOM]
    assert checked
    for resource in checked:
        validate(resource, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    with pytest.raises(ValidationError, match="Additional properties"):
        validate(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"prots": []}},
            NEWEST,
            strict=True,
        )


@pytest.mark.parametrize("name", RENDERED)
def test_every_custom_resource_is_one_of_its_definition(name: str) -> None:
    for resource in of_kind(rendered(name), "ScaledObject"):
        assert resource["apiVersion"] == "keda.sh/v1alpha1"
        _check_custom(resource, ScaledObject)
    for model in OPERATORS:
        for resource in of_kind(rendered(name), model.__name__):
            assert resource["apiVersion"] == "monitoring.coreos.com/v1"
            _check_custom(resource, model)
    for resource in of_kind(rendered(name), "HTTPRoute"):
        assert resource["apiVersion"] == "gateway.networking.k8s.io/v1"
        HTTPRouteSpec.model_validate(resource["spec"])


def test_a_field_that_a_custom_resource_does_not_have_is_found() -> None:
    resource = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "a"},
        "spec": {
            "scaleTargetRef": {"name": "a"},
            "triggers": [{"type": "cpu", "metadata": {}, "metricsType": "Value"}],
        },
    }
    with pytest.raises(AssertionError, match=r"spec.triggers\[0\].metricsType"):
        _check_custom(resource, ScaledObject)


def test_the_base_and_the_demo_need_no_custom_resources() -> None:
    for name in ("base", "overlays/demo"):
        assert not of_kind(rendered(name), *CUSTOM)


def test_the_guide_names_the_oldest_release_that_was_checked() -> None:
    assert f"Kubernetes {OLDEST} or newer" in (ROOT / "docs" / "kubernetes.md").read_text()
