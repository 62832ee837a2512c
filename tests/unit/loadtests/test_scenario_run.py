"""What is asked, when it is due, and when a run is over."""

import json
from collections import Counter
from itertools import islice

import pytest

from loadtests.scenarios.arrivals import steady
from loadtests.scenarios.run import DRAIN_S, Run
from loadtests.scenarios.traffic import by_turns, by_zipf, mixed, requests


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_run(clock: Clock) -> Run:
    phases = [steady("warm-up", 1, 2, counted=False), steady("it", 2, 1)]
    return Run(phases, by_turns(requests("m", ["a", "b"])), "even", clock)


def test_requests_are_taken_in_the_order_in_which_they_are_due() -> None:
    run = a_run(Clock())
    taken = [found for _ in range(4) if (found := run.next())]
    assert [record.phase.name for record, *_ in taken] == ["warm-up", "warm-up", "it", "it"]
    assert [due for _, due, *_ in taken] == pytest.approx([1, 2, 0.5, 1])
    assert [on_clock - taken[0][2] for _, _, on_clock, _ in taken] == pytest.approx([0, 1, 1.5, 2])
    assert run.next() is None


def test_a_run_is_over_when_all_is_sent_and_answered() -> None:
    run = a_run(Clock())
    for _ in range(4):
        run.next()
    assert run.next() is None
    assert not run.over
    for _ in range(4):
        run.done()
    assert run.over


def test_what_is_never_answered_does_not_keep_a_run() -> None:
    clock = Clock()
    run = a_run(clock)
    run.next()
    clock.now += 3 + DRAIN_S
    assert not run.over
    clock.now += 1
    assert run.over


def test_by_turns_nothing_comes_again_before_all_were_asked() -> None:
    asked = requests("m", ["a", "b", "c"])
    assert list(islice(by_turns(asked), 6)) == asked * 2


def test_zipf_asks_the_second_half_as_often_as_the_first() -> None:
    found = Counter(request.body for request in islice(by_zipf(requests("m", list("abcdef")), 1.0, 7), 60_000))
    counts = [count for _, count in found.most_common()]
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.05)
    assert counts[0] / counts[5] == pytest.approx(6, rel=0.1)


def test_each_model_has_favourites_of_its_own() -> None:
    texts = [str(number) for number in range(100)]
    (first, _), (second, _) = (
        Counter(request.body for request in islice(by_zipf(requests("m", texts), 1.0, seed), 5000)).most_common(1)[0]
        for seed in (0, 1)
    )
    assert first != second


def test_a_mix_keeps_its_shares() -> None:
    parts = [(0.9, by_turns(requests("a", ["x"]))), (0.1, by_turns(requests("b", ["x"])))]
    found = Counter(request.model for request in islice(mixed(parts, 7), 20_000))
    assert found["b"] / 20_000 == pytest.approx(0.1, abs=0.01)


def test_a_run_of_its_own_shares_no_cached_answer() -> None:
    (plain,), (one,), (other,) = (requests("m", ["a"], run) for run in (None, "1", "2"))
    assert len({plain.body, one.body, other.body}) == 3
    assert {json.loads(body)["inputs"][0]["data"][0].strip() for body in (plain.body, one.body, other.body)} == {"a"}
