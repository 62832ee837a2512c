"""docs/metrics.md against what the processes of a real platform export."""

from pathlib import Path

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.platform import LocalPlatform

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
ROWS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
TRAINING = "| training |"
LE = "le"  # every histogram's, so that saying it says nothing


def exported(url: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text)}


def row(family: Metric, processes: str) -> str:
    """The line of the table that says what `family` is."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != LE)
    named = ", ".join(f"`{label}`" for label in sorted(labels))
    return f"| `{name}` | {family.type} | {named} | {processes} | {family.documentation} |"


def test_the_table_of_metrics_says_what_is_exported_and_nothing_else(platform: LocalPlatform) -> None:
    for _ in range(2):
        platform.http.post("/v2/models/double/infer", json=ROWS).raise_for_status()
    gateway, worker = exported(platform.url), exported(platform.worker_url)
    expected = [row(family, "both" if family.name in worker else "gateway") for family in gateway.values()]
    expected += [row(family, "worker") for name, family in worker.items() if name not in gateway]
    # What training exports has a test of its own, in its environment.
    written = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `") and TRAINING not in line]
    assert sorted(written) == sorted(expected)
