"""The dashboards and alerts of deploy/, read from their files."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
# Prometheus' own, beside what the processes export.
OF_PROMETHEUS = {"up", "ALERTS"}


@dataclass(frozen=True)
class Query:
    """An expression of a panel. `str()` is where it stands."""

    dashboard: str
    panel: str
    expression: str

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.expression}"


def dashboards() -> dict[str, dict[str, Any]]:
    """By the names of their files."""
    folder = DEPLOY / "grafana" / "dashboards"
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def queries() -> list[Query]:
    return [
        Query(name, panel["title"], target["expr"])
        for name, dashboard in dashboards().items()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def alerts() -> list[dict[str, Any]]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression reads, a histogram's under its own name."""
    found = re.findall(r"\b(?:(?:headrace|process|python)_\w+|up|ALERTS)\b", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}
