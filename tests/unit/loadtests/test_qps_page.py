"""The page with the plots, and the figures above them."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtests.bare import Bare
from loadtests.qps.about import About
from loadtests.qps.drive import Driven
from loadtests.qps.limit import Limit
from loadtests.qps.outcome import Run, figures
from loadtests.qps.page import render
from loadtests.qps.plots import plot_run
from loadtests.qps.raw import RAW, read_raw, summary, write_raw
from loadtests.qps.sampling import Usage
from loadtests.qps.workloads import WORKLOADS
from loadtests.results import FOLDER, Result, result
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


def texts_of(path: Path) -> set[str | None]:
    """What is written in a plot."""
    return {element.text for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")}


def a_result(one: Driven, limit: Limit | None = None) -> Result:
    runs, limits = [Run(workload="nothing cached", balancer="envoy", driven=one)], [limit or a_limit()]
    rounds = {"workloads": [ASKED], "bar": {"mean_ms": 80.0}, "runs": runs, "limits": limits}
    found: Result = json.loads(json.dumps(result("qps", "about", figures(runs, limits), rounds)))
    return found


def test_the_page_holds_every_run_with_its_plot_beside_it(tmp_path: Path) -> None:
    page = render(a_result(driven(cached=True)), tmp_path / "qps.md").read_text()
    assert "nothing cached, balancer in envoy" in page
    assert "The limit of minilm, balancer in gateway" in page
    assert "Tells &lt;good&gt; from bad." in page
    assert "accuracy 0.812" in page
    shown = re.findall(r"!\[.*\]\((.*)\)", page)
    assert shown == ["qps/nothing-cached-envoy.svg", "qps/limit-minilm-gateway.svg"]
    run, limit = (texts_of(tmp_path / path) for path in shown)
    assert {"requests/s", "ms", "hit ratio, %", "cores", "p99", "gateway"} <= run
    assert {"held", "not held", "the bar"} <= limit


def test_plots_of_a_result_before_do_not_stay(tmp_path: Path) -> None:
    render(a_result(driven()), tmp_path / "qps.md")
    (tmp_path / "qps" / "old.svg").write_text("<svg/>")
    render(a_result(driven()), tmp_path / "qps.md")
    assert sorted(path.name for path in (tmp_path / "qps").iterdir()) == [
        "limit-minilm-gateway.svg",
        "nothing-cached-envoy.svg",
    ]


def test_a_second_in_which_nothing_was_served_is_a_gap(tmp_path: Path) -> None:
    one = driven()
    one["report"]["phases"][-1]["per_second"][1]["p50_ms"] = None
    page = render(a_result(one), tmp_path / "qps.md")
    whole, gap = (plot_run(each, 80.0).count("<polyline") for each in (driven(), one))
    assert gap == whole + 1
    assert page.exists()


def test_a_rate_of_nearly_a_thousand_is_written_as_one(tmp_path: Path) -> None:
    one = driven()
    one["report"]["phases"][-1]["served_rate"] = 999.8
    page = render(a_result(one), tmp_path / "qps.md").read_text()
    assert "| 1,000 |" in page
    assert "e+0" not in page


def test_what_was_noted_second_by_second_is_in_the_raw_runs_alone(tmp_path: Path) -> None:
    found = a_result(driven())
    assert read_raw(write_raw(found, tmp_path / "raw.xz")) == found
    short = json.dumps(summary(found))
    assert "per_second" in json.dumps(found)
    assert "per_second" not in short
    assert summary(found)["figures"] == found["figures"]
    (tmp_path / "raw.xz").write_bytes(b"none of ours")
    with pytest.raises(ValueError, match="no xz file"):
        read_raw(tmp_path / "raw.xz")


def test_what_is_kept_is_made_of_the_raw_runs_and_small(tmp_path: Path) -> None:
    found = read_raw()
    page = render(found, tmp_path / "qps.md")
    again = "make qps ARGS=--page"
    assert page.read_text() == (FOLDER / "qps.md").read_text(), again
    assert summary(found) == json.loads((FOLDER / "qps.json").read_text()), again
    kept = {path.name: path.read_text() for path in (FOLDER / "qps").iterdir()}
    assert kept == {path.name: path.read_text() for path in (tmp_path / "qps").iterdir()}, again
    assert sum(map(len, kept.values())) < 100_000
    assert RAW.stat().st_size < 50_000


def test_the_page_says_what_was_asked_in_the_words_of_the_result_and_not_of_the_code(tmp_path: Path) -> None:
    page = render(a_result(driven()), tmp_path / "qps.md").read_text()
    assert "# 750 requests a second" in page
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
        render(old, tmp_path / "qps.md")


def test_a_limit_has_its_percentiles_processor_and_memory_on_the_page(tmp_path: Path) -> None:
    page = render(a_result(driven()), tmp_path / "qps.md").read_text()
    section = page[page.index("## The limit of minilm") :]
    assert "| 3.25 | 5.75 |" in section
    assert "| postgres | 0.25 | 123 |" in section
    assert "session.run alone" in section


def test_a_limit_that_the_generator_set_is_called_a_lower_bound_everywhere(tmp_path: Path) -> None:
    found = a_result(driven(), a_limit("above it the generator, on the same cores, lagged"))
    named = {figure["what"]: figure["notes"] for figure in found["figures"] if "the limit of" in figure["what"]}
    assert all(what.endswith(", at least") for what in named)
    assert "at least 100/s: above it the generator, on the same cores, lagged" in next(iter(named.values()))
    page = render(found, tmp_path / "qps.md").read_text()
    assert "at least 100 a second" in page
    assert "is the highest rate" not in page
    sure = a_result(driven())
    assert not any("at least" in figure["what"] for figure in sure["figures"])


def test_a_limit_that_was_not_found_is_no_rate(tmp_path: Path) -> None:
    nothing = a_limit()
    nothing["rate"] = 0.0
    found = a_result(driven(), nothing)
    page = render(found, tmp_path / "qps.md").read_text()
    assert "no rate that was tried held a mean of 80 ms" in " ".join(page.split())
    assert ["no rate that was tried was held"] in [figure["notes"] for figure in found["figures"]]


def test_a_run_that_says_nothing_is_called_so(tmp_path: Path) -> None:
    page = render(a_result(driven(invalid="the generator lagged")), tmp_path / "qps.md").read_text()
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
