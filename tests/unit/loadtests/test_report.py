"""The table of results: what is held to a target, and what falls short of it."""

from loadtests.machine import Machine
from loadtests.report import markdown
from loadtests.results import Figure, Result, figure


def a_result(name: str, *figures: Figure, cpu: str = "A CPU") -> Result:
    machine = Machine(cpu=cpu, cores=2, memory_gb=8.0, kernel="Linux 6", python="3.11", versions={"uvloop": "1"})
    command, date = f"python -m loadtests {name}", "2026-01-01 00:00 UTC"
    return Result(
        name=name, about="About it", command=command, date=date, machine=machine, figures=list(figures), rounds={}
    )


def test_a_bound_is_met_up_to_the_bound_itself() -> None:
    assert figure("rate", 2.0, "x", at_least=2)["met"] is True
    assert figure("rate", 1.99, "x", at_least=2)["met"] is False
    assert figure("memory", 130.0, "MB", at_most=130)["met"] is True
    assert figure("memory", 130.1, "MB", at_most=130)["met"] is False
    assert figure("ratio", 0.1, "x")["met"] is None


def test_what_falls_short_is_said_before_the_tables() -> None:
    page = markdown([a_result("speed", figure("headrace", 1.5, "x", at_least=2, notes=["a note"]))])
    assert "- speed: headrace is 1.50 x, the target is ≥ 2 x" in page
    assert page.index("What falls short") < page.index("## speed")
    assert "| headrace | 1.50 x | ≥ 2 x | **no** | a note |" in page


def test_a_page_on_which_all_is_well_says_so() -> None:
    page = markdown([a_result("speed", figure("headrace", 7000.0, "requests/s", at_least=6000))])
    assert "Every target that was measured is met." in page
    assert "| headrace | 7,000 requests/s | ≥ 6,000 requests/s | yes |  |" in page


def test_the_machine_of_each_result_is_named() -> None:
    same = markdown([a_result("one"), a_result("two")])
    assert same.count("Machine: A CPU, 2 cores, 8 GB; Linux 6; Python 3.11; uvloop 1.") == 1
    apart = markdown([a_result("one"), a_result("two", cpu="Another")])
    assert "Machine: A CPU" in apart
    assert "(one)" in apart
    assert "Machine: Another" in apart
    assert "(two)" in apart
