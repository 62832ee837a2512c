"""Dashboards, alerts, their metrics and their runbook fit one another; tests/compose has a real Prometheus do them."""

import re
from collections import defaultdict
from typing import Any

import pytest
import yaml

from tests.unit.deploy.dashboards import (
    DEPLOY,
    OF_PROMETHEUS,
    ROOT,
    alerts,
    dashboards,
    metrics_in,
    queries,
)
from wire import errors
from wire.status import http_status

DOCUMENTED = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
EXPRESSIONS = [*(query.expression for query in queries()), *(alert["expr"] for alert in alerts())]
NAMES = [alert["alert"] for alert in alerts()]


def test_what_is_asked_for_is_documented() -> None:
    for expression in EXPRESSIONS:
        assert metrics_in(expression), expression
        assert metrics_in(expression) <= DOCUMENTED | OF_PROMETHEUS, expression


def test_failing_is_what_answers_429_or_5xx_wherever_it_is_counted() -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    at_fault = {kind.__name__ for kind in classes if http_status(kind()) == 429 or http_status(kind()) >= 500}
    lists = re.findall(r'outcome=~"([\w|]*Error[\w|]*)"', "\n".join(EXPRESSIONS))
    counted = [set(outcomes.split("|")) for outcomes in lists]
    assert len(counted) >= 3
    for outcomes in counted:
        assert outcomes == {*at_fault, "InternalError"}  # as the endpoint counts what nobody foresaw


@pytest.mark.parametrize("dashboard", dashboards().values(), ids=str)
def test_every_panel_says_why_it_is_there_and_fits_the_grid(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        assert panel["description"], panel["title"]
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_dashboards_have_addresses_of_their_own_and_ask_the_datasource_that_is_provisioned() -> None:
    uids = [dashboard["uid"] for dashboard in dashboards().values()]
    assert len(set(uids)) == len(uids)
    provisioned = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    (datasource,) = provisioned["datasources"]
    for dashboard in dashboards().values():
        parts = [*dashboard["panels"], *dashboard["templating"]["list"]]
        asked = [part["datasource"] for part in (*parts, *(t for p in dashboard["panels"] for t in p["targets"]))]
        assert {(source["type"], source["uid"]) for source in asked} == {(datasource["type"], datasource["uid"])}


def test_the_slowest_requests_lead_to_their_traces() -> None:
    targets = [target for board in dashboards().values() for panel in board["panels"] for target in panel["targets"]]
    slowest = re.compile(r"histogram_quantile\(0\.99, .*(gateway|worker)_request_seconds_bucket")
    marked = [target["expr"] for target in targets if target.get("exemplar")]
    assert marked
    assert all(slowest.match(expression) for expression in marked)


def test_variables_are_those_that_queries_use() -> None:
    for name, dashboard in dashboards().items():
        offered = {variable["name"] for variable in dashboard["templating"]["list"]}
        used = {
            found
            for query in queries()
            if query.dashboard == name
            for found in re.findall(r"\$(\w+)", query.expression)
            if not found.startswith("__")
        }
        assert offered == used, name


def test_every_alert_waits_is_graded_and_leads_to_its_paragraph_of_the_runbook() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert headings == NAMES
    for alert in alerts():
        assert "for" in alert, alert["alert"]
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"]["summary"].endswith(".")
        assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"


def test_every_alert_is_tried_where_it_fires_and_where_it_does_not() -> None:
    tried = defaultdict(set)
    for case in yaml.safe_load((ROOT / "tests/compose/alerts.yml").read_text())["tests"]:
        for expected in case["alert_rule_test"]:
            tried[expected["alertname"]].add(bool(expected["exp_alerts"]))
    assert tried == {name: {True, False} for name in NAMES}
