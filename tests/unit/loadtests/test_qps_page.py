"""The page with the plots, and the figures above them."""

import json
from pathlib import Path

import pytest

from loadtests.bare import Bare
from loadtests.qps.about import About
from loadtests.qps.drive import Driven
from loadtests.qps.limit import Limit
from loadtests.qps.outcome import Run, figures
from loadtests.qps.page import render
from loadtests.qps.sampling import Usage
from loadtests.qps.workloads import WORKLOADS
from loadtests.results import Result, result
from loadtests.scenarios.arrivals import steady
from loadtests.scenarios.record import PhaseReport, Record, RunReport, Thresholds
from loadtests.sentences import Corpus
from tests.unit.loadtests.test_qps_search import attempt, report

ASKED = About(
    name="nothing cached",
    about="the words of the result",
    rate=750.0,
    exponent=1.25,
    mix={"sentiment": 1.0},
    cache_ttl_s={"sentiment": 0},
    corpus=Corpus(what="reviews", package="somePackage", version="3.2.1", sources=["a.txt"], count=12345),
    classifier={"description": "Tells <good> from bad.", "metrics": {"accuracy": 0.8125}, "trained_on": "those"},
)
BARE = Bare(about="session.run alone", rate=125.0, batch=8, rates={"8": [125.0]}, tokenise_us=40.0)


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
    return Driven(report=report, usage={"gateway": usage(99.0)})


def usage(memory_mb: float) -> Usage:
    return Usage(
        cpu=0.25, memory_mb=memory_mb, cpu_per_second=[0.2, 0.3], memory_mb_per_second=[memory_mb - 1, memory_mb]
    )


def a_limit(at_least: str | None = None) -> Limit:
    tried = [attempt(110.0, 15.0, report(500)), attempt(100.0, 120.0, report(4))]
    tried[-1]["report"]["p50_ms"], tried[-1]["report"]["p95_ms"] = 3.25, 5.75
    tried[-1]["usage"] = {"postgres": usage(123.0)}
    return Limit(
        model="minilm",
        balancer="gateway",
        bar_mean_ms=80.0,
        saturated=120.0,
        rate=100.0,
        at_least=at_least,
        bare=BARE,
        tried=tried,
    )


def a_result(one: Driven, limit: Limit | None = None) -> Result:
    runs, limits = [Run(workload="nothing cached", balancer="envoy", driven=one)], [limit or a_limit()]
    rounds = {"workloads": [ASKED], "bar": {"mean_ms": 80.0}, "runs": runs, "limits": limits}
    found: Result = json.loads(json.dumps(result("qps", "about", figures(runs, limits), rounds)))
    return found


def test_the_page_holds_every_run_and_needs_nothing_else(tmp_path: Path) -> None:
    page = render(a_result(driven(cached=True)), tmp_path / "qps.html").read_text()
    assert page.count("<svg") == 2
    assert "memory, MB" in page
    assert "nothing cached, balancer in envoy" in page
    assert "The limit of minilm, balancer in gateway" in page
    assert "Tells &lt;good&gt; from bad." in page
    assert "accuracy 0.812" in page
    assert 'src="' not in page
    assert "<script" not in page


def test_the_page_says_what_was_asked_in_the_words_of_the_result_and_not_of_the_code(tmp_path: Path) -> None:
    page = render(a_result(driven()), tmp_path / "qps.html").read_text()
    assert "<h1>750 requests a second" in page
    assert "the words of the result" in page
    assert "12,345 different ones of somePackage 3.2.1" in page
    assert "a.txt" in page
    assert "Trained on those." in page
    assert "1.25" in page
    assert not any(workload.about in page for workload in WORKLOADS)


def test_a_result_that_does_not_say_what_was_asked_is_refused(tmp_path: Path) -> None:
    old = a_result(driven())
    del old["rounds"]["workloads"]
    with pytest.raises(ValueError, match="measure again with `make qps`"):
        render(old, tmp_path / "qps.html")


def test_a_limit_has_its_percentiles_processor_and_memory_on_the_page(tmp_path: Path) -> None:
    page = render(a_result(driven()), tmp_path / "qps.html").read_text()
    section = page[page.index("<h2>The limit of minilm") :]
    assert '<td class="n">3.25<td class="n">5.75' in section
    assert '<td>postgres<td class="n">0.25<td class="n">123' in section
    assert "session.run alone" in section


def test_a_limit_that_the_generator_set_is_called_a_lower_bound_everywhere(tmp_path: Path) -> None:
    found = a_result(driven(), a_limit("above it the generator, on the same cores, lagged"))
    named = {figure["what"]: figure["notes"] for figure in found["figures"] if "the limit of" in figure["what"]}
    assert all(what.endswith(", at least") for what in named)
    assert "at least 100/s: above it the generator, on the same cores, lagged" in next(iter(named.values()))
    page = render(found, tmp_path / "qps.html").read_text()
    assert "at least 100 a second" in page
    assert "is the highest rate" not in page
    sure = a_result(driven())
    assert not any("at least" in figure["what"] for figure in sure["figures"])


def test_a_limit_that_was_not_found_is_no_rate(tmp_path: Path) -> None:
    nothing = a_limit()
    nothing["rate"] = 0.0
    found = a_result(driven(), nothing)
    page = render(found, tmp_path / "qps.html").read_text()
    assert "no rate that was tried held a mean of 80 ms" in " ".join(page.split())
    assert ["no rate that was tried was held"] in [figure["notes"] for figure in found["figures"]]


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
