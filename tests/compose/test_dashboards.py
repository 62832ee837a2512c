"""The dashboards and alerts of deploy/, asked of a Prometheus that scraped the platform as it answered."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compose.stack import DEPLOY, NO_CACHE, Stack, run
from tests.compose.trainer import training
from tests.compose.training_run import RUN
from tests.platform import make_artifacts
from tests.unit.deploy.dashboards import OF_PROMETHEUS, Query, alerts, dashboards, metrics_in, queries

QUERIES = queries()
LIMIT_S = 90  # several scrapes, and the longest rate


@pytest.fixture(scope="module")
def model(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that takes texts, as only those are padded."""
    return stack.publish(make_artifacts(tmp_path_factory.mktemp("made"))["sentiment"])


def ask(stack: Stack, model: str, number: int) -> None:
    """Once for each outcome: missed, found, past the cache, and refused."""
    texts = {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["good", f"good, or {number} times bad"]}
    body = {"inputs": [texts]}
    for asked, headers in ((body, {}), (body, {}), (body, NO_CACHE), ({"inputs": []}, {})):
        stack.http.post(f"/v2/models/{model}/infer", json=asked, headers=headers)


def has_data(stack: Stack, query: Query, model: str) -> bool:
    # What Grafana puts in place of the variables.
    expression = query.expression
    for variable, value in (("$__rate_interval", "20s"), ("$model", model), ("$run", RUN)):
        expression = expression.replace(variable, value)
    return stack.has_number(expression)


@pytest.fixture(scope="module")
def trains(stack: Stack) -> Iterator[None]:
    """Something that trains beside the platform; test_trainer has a real run there."""
    with training(stack, "converges"):
        yield


@pytest.fixture(scope="module")
def scraped(stack: Stack, model: str, trains: None) -> Stack:
    """A platform that answers in every way, until Prometheus has seen that for the whole of a rate's range."""
    give_up = time.monotonic() + LIMIT_S
    for number in itertools.count():
        for step in range(10):
            ask(stack, model, 10 * number + step)
            time.sleep(0.1)
        missing = [query for query in QUERIES if not has_data(stack, query, model)]
        if not missing:
            break
        assert time.monotonic() < give_up, "no data for\n" + "\n".join(map(str, missing))
    return stack


def test_every_query_of_every_dashboard_has_data(scraped: Stack, model: str) -> None:
    ask(scraped, model, -1)
    assert [str(query) for query in QUERIES if not has_data(scraped, query, model)] == []


def test_dashboards_offer_the_models_that_there_are(scraped: Stack, model: str) -> None:
    variables = [variable for board in dashboards().values() for variable in board["templating"]["list"]]
    asked = {variable["query"] for variable in variables if variable["name"] == "model"}
    (metric,) = {query.removeprefix("label_values(").removesuffix(", model)") for query in asked}
    assert model in {series["metric"]["model"] for series in scraped.query(metric)}


def test_the_dashboard_of_training_offers_the_runs_that_there_are(scraped: Stack) -> None:
    (variable,) = dashboards()["training"]["templating"]["list"]
    metric = variable["query"].removeprefix("label_values(").removesuffix(", run)")
    assert {series["metric"]["run"] for series in scraped.query(metric)} == {RUN}


def test_every_metric_of_an_alert_is_scraped(scraped: Stack) -> None:
    for alert in alerts():
        for name in metrics_in(alert["expr"]) - OF_PROMETHEUS:
            assert scraped.query(f'{{__name__=~"{name}(_count)?"}}'), (alert["alert"], name)


def test_prometheus_has_every_alert_and_none_fires_on_a_platform_that_is_well(scraped: Stack) -> None:
    (group,) = scraped.prometheus.get("/api/v1/rules").json()["data"]["groups"]
    assert [rule["name"] for rule in group["rules"]] == [alert["alert"] for alert in alerts()]
    scraped.until(lambda: {rule["health"] for rule in rules(scraped)} == {"ok"})
    assert [rule["name"] for rule in rules(scraped) if rule["state"] == "firing"] == []


def test_alerts_fire_when_they_should_and_only_then(stack: Stack) -> None:
    """After how long, too, which test_alerts cannot wait for."""
    (prometheus,) = stack.compose("images", "--quiet", "prometheus").split()
    root = DEPLOY.parent
    command = ["docker", "run", "--rm", "--network", "none", "--volume", f"{root}:{root}:ro"]
    run([*command, "--entrypoint", "promtool", prometheus, "test", "rules", str(root / "tests/compose/alerts.yml")])


def rules(stack: Stack) -> list[dict[str, Any]]:
    (group,) = stack.prometheus.get("/api/v1/rules").json()["data"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found
