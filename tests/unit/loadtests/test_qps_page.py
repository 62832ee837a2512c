"""The page with the plots, and the figures above them."""

from pathlib import Path
from typing import Any

import pytest

from loadtests.qps.drive import Driven
from loadtests.qps.limit import Limit
from loadtests.qps.outcome import Run, figures
from loadtests.qps.page import render
from loadtests.qps.sampling import Usage
from loadtests.results import Result, result
from loadtests.scenarios.arrivals import steady
from loadtests.scenarios.record import PhaseReport, Record, RunReport, Thresholds

CLASSIFIER: dict[str, Any] = {"description": "Tells <good> from bad.", "metrics": {"accuracy": 0.8125}}


def phase(name: str, latency: float, cached: bool, failed: int = 0) -> PhaseReport:
    record = Record(steady(name, 1, 3, counted=name != "warm-up"))
    for second in range(3):
        record.sent(second + 0.5, 0.0)
        record.served("minilm", second + 0.5, latency, cached)
    for _ in range(failed):
        record.sent(1.5, 0.0)
        record.failed("500 boom")
    return record.report(Thresholds())


def driven(latency: float = 0.004, cached: bool = False, failed: int = 0, invalid: str | None = None) -> Driven:
    phases = [phase("warm-up", 1.0, cached), phase("it", latency, cached, failed)]
    report = RunReport(
        scenario="steady", began=0, arrivals="poisson", connections=1, generator_cpu=0.1, phases=phases, invalid=invalid
    )
    return Driven(report=report, usage={"gateway": Usage(cpu=0.25, memory_mb=99.0, cpu_per_second=[0.2, 0.3])})


def a_result(one: Driven) -> Result:
    runs = [Run(workload="nothing cached", balancer="envoy", driven=one)]
    tried = [driven(0.5), driven(0.004)]
    limits = [
        Limit(model="minilm", balancer="gateway", saturated=120.0, rate=100.0, bare=125.0, bare_batch=8, tried=tried)
    ]
    return result("qps", "about", figures(runs, limits), {"classifier": CLASSIFIER, "runs": runs, "limits": limits})


def test_the_page_holds_every_run_and_needs_nothing_else(tmp_path: Path) -> None:
    page = render(a_result(driven(cached=True)), tmp_path / "qps.html").read_text()
    assert page.count("<svg") == 2
    assert "nothing cached, balancer in envoy" in page
    assert "The limit of minilm, balancer in gateway" in page
    assert "Tells &lt;good&gt; from bad." in page
    assert "accuracy 0.812" in page
    assert 'src="' not in page
    assert "<script" not in page


def test_a_run_that_says_nothing_is_called_so(tmp_path: Path) -> None:
    page = render(a_result(driven(invalid="the generator lagged")), tmp_path / "qps.html").read_text()
    assert "Not to be used: the generator lagged." in page


def test_figures_are_of_the_last_phase_and_held_to_bar_and_aim() -> None:
    found = {figure["what"]: figure for figure in a_result(driven(0.05, failed=1))["figures"]}
    of = "nothing cached, balancer in envoy"
    assert found[f"{of}: mean, the bar"]["value"] == pytest.approx(50)
    assert found[f"{of}: mean, the bar"]["met"] is True
    assert found[f"{of}: mean, our aim"]["met"] is False
    assert found[f"{of}: failed"]["met"] is False
    assert found["the limit of minilm, balancer in gateway: against bare"]["value"] == pytest.approx(0.8)


def test_where_nothing_was_served_nothing_is_met() -> None:
    empty = driven()
    empty["report"]["phases"][-1] = Record(steady("it", 1, 3)).report(Thresholds())
    assert not any(figure["met"] for figure in figures([Run(workload="x", balancer="gateway", driven=empty)], [])[:3])
