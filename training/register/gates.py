"""Whether a version is good enough to serve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.views import VersionView
from training.recipe.register import Gate

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """What a gate asks and what it found, as a line."""

    held: bool
    line: str


@dataclass(frozen=True)
class Replaced:
    """What is known of the version that a promotion replaces: its metrics on the very rows of the new one's.

    Where they are not known, `unknown` says why.
    """

    number: int
    metrics: Metrics | None
    unknown: str = ""


def judge(
    gates: Sequence[Gate], metrics: Metrics, higher_is_better: Mapping[str, bool], replaced: Replaced | None
) -> list[Verdict]:
    """A verdict for each condition. What cannot be judged does not hold."""
    return [verdict for gate in gates for verdict in _judge(gate, metrics, higher_is_better, replaced)]


def describe_replaced(version: VersionView | None, rows: str, compared: Mapping[str, Any] | None) -> Replaced | None:
    """What is known of `version`, which serves now: it was asked for the rows (`compared`), or measured on them before.

    `rows` is the test rows' digest.
    """
    if version is None:
        return None
    asked = compared or {"unknown": "it was measured on other rows: have it asked, with evaluate.against"}
    if asked.get("version") == version.number:
        return Replaced(version.number, {name: found["value"] for name, found in asked["metrics"].items()})
    if version.manifest.provenance.get("test_rows") == rows:
        return Replaced(version.number, version.manifest.metrics)
    other = f"version {asked.get('version')} was asked, version {version.number} is there now: run it again"
    return Replaced(version.number, None, asked.get("unknown", other))


def _judge(
    gate: Gate, metrics: Metrics, higher_is_better: Mapping[str, bool], replaced: Replaced | None
) -> list[Verdict]:
    if (value := metrics.get(gate.metric)) is None:
        return [Verdict(False, f"{gate.metric} is not among the metrics: {', '.join(sorted(metrics))}")]
    verdicts = []
    if gate.at_least is not None:
        verdicts.append(Verdict(value >= gate.at_least, f"{gate.metric} {value:.4f}, at least {gate.at_least:g}"))
    if gate.at_most is not None:
        verdicts.append(Verdict(value <= gate.at_most, f"{gate.metric} {value:.4f}, at most {gate.at_most:g}"))
    if gate.worse_by_at_most is not None:
        better = higher_is_better.get(gate.metric, True)
        verdicts.append(_compare(gate.metric, value, gate.worse_by_at_most, better, replaced))
    return verdicts


def _compare(metric: str, value: float, worse: float, higher_is_better: bool, replaced: Replaced | None) -> Verdict:
    if replaced is None:
        return Verdict(True, f"{metric} {value:.4f}, it replaces no other version")
    where = f"version {replaced.number}"
    if replaced.metrics is None:
        return Verdict(False, f"{metric} {value:.4f}, that of {where} is not known: {replaced.unknown}")
    if (theirs := replaced.metrics.get(metric)) is None:
        return Verdict(False, f"{metric} {value:.4f}, {where} has no such metric")
    loss = theirs - value if higher_is_better else value - theirs
    return Verdict(loss <= worse, f"{metric} {value:.4f}, {where} has {theirs:.4f}: worse by {worse:g} at most")
