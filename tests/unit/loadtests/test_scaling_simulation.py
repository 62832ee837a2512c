"""What is simulated: no request is lost, the wait is the known one, replicas come and go when they may."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.scaling.manifests import as_written
from loadtests.scaling.queueing import Queue, chance_wait_s
from loadtests.scaling.simulate import START_S, Service, simulate, wait_percentile
from loadtests.scaling.trace import MINUTES, by_second, of_day

MANIFESTS = as_written()
SERVICE = Service(gateway_rate=10_000, worker_rate=500, latency_s=0.002, gateway_room=1024, worker_room=2048)
CALM, BURST = 1000.0, 9000.0


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.integers(0, 100), st.floats(-10, 1e5)),
        min_size=1,
        max_size=30,
    )
)
def test_every_request_is_served_refused_or_queued(seconds: list[tuple[float, int, float]]) -> None:
    queue = Queue(rate=500)
    arrived = served = refused = 0.0
    for requests, replicas, room in seconds:
        second = queue.step(requests, replicas, room)
        assert second.served <= 500 * replicas
        assert second.refused >= 0
        assert 0 <= queue.backlog <= max(room, 0)
        arrived, served, refused = arrived + requests, served + second.served, refused + second.refused
    assert served + refused + queue.backlog == pytest.approx(arrived)


def test_a_day_accounts_for_every_request() -> None:
    rates = [CALM] * 600 + [BURST] * 600 + [CALM] * 600
    day = simulate(rates, SERVICE, MANIFESTS)
    assert day.refused > 0
    assert day.served + day.refused + day.left == pytest.approx(sum(rates))


def test_the_wait_for_one_replica_is_that_of_an_m_m_1_queue() -> None:
    for busy in (0.1, 0.5, 0.9):
        assert chance_wait_s(busy, 1, rate=100) == pytest.approx(busy / (100 - 100 * busy))


def test_more_replicas_that_are_as_busy_wait_less() -> None:
    waits = [chance_wait_s(0.7, replicas, rate=500) for replicas in (1, 2, 10, 100)]
    assert waits == sorted(waits, reverse=True)
    assert waits[-1] > 0
    assert chance_wait_s(0.0, 2, rate=500) == 0


def test_what_exceeds_the_replicas_waits_for_them() -> None:
    queue = Queue(rate=100)
    second = queue.step(arrived=500, replicas=2, room=1000)
    assert (second.served, queue.backlog) == (200, 300)
    assert second.wait_s > 300 / 200


def test_a_worker_serves_once_it_has_started_and_is_known() -> None:
    day = simulate([CALM] * 60 + [BURST] * 240, SERVICE, MANIFESTS)
    asked = next(second for second, count in enumerate(day.workers) if count > day.workers[0])
    serves = asked + START_S["worker"] + MANIFESTS.worker.seen_after_s
    before = day.wait_s[asked:serves]
    assert min(before) > 0.1  # nothing is better until then
    at_once = replace(MANIFESTS, worker=replace(MANIFESTS.worker, seen_after_s=0))
    assert sum(simulate(day.arrived, SERVICE, at_once).wait_s) < sum(day.wait_s)


def test_workers_stay_for_the_stabilization_window_after_the_load_has_gone() -> None:
    end = 900
    day = simulate([8000.0] * end + [CALM] * 1500, SERVICE, MANIFESTS)
    window = MANIFESTS.worker.down.stabilization_s
    assert min(day.workers[end : end + window - 30]) == day.workers[end]
    assert day.workers[-1] < day.workers[end]


def test_workers_have_the_room_that_the_manifests_ask_for() -> None:
    day = simulate([8000.0] * 3600, SERVICE, MANIFESTS)
    busy = 8000 / (day.workers[-1] * SERVICE.worker_rate)
    assert busy == pytest.approx(MANIFESTS.worker.cpu, rel=0.12)  # the tolerance, and a whole worker


def test_the_same_day_comes_out_the_same() -> None:
    rates = [CALM] * 300 + [BURST] * 300
    assert simulate(rates, SERVICE, MANIFESTS) == simulate(rates, SERVICE, MANIFESTS)


def test_the_percentile_weighs_seconds_by_their_requests() -> None:
    day = simulate([CALM] * 60, SERVICE, MANIFESTS)
    day = replace(day, arrived=[1.0] * 59 + [941.0], wait_s=[0.0] * 59 + [2.0])
    assert wait_percentile(day, 0.05) == 0.0
    assert wait_percentile(day, 0.06) == 2.0


def test_the_busiest_minute_has_the_peak() -> None:
    rates = by_second([1.0, 4.0, 2.0], peak=1000)
    assert len(rates) == 180
    assert [rates[0], rates[60], rates[120]] == [250, 1000, 500]
    assert rates[30] == pytest.approx(625)
    assert max(rates) == 1000


def test_a_trace_with_a_minute_missing_is_refused() -> None:
    lines = [f"2026-01-01 {minute // 60:02}:{minute % 60:02}:00,{minute}" for minute in range(MINUTES)]
    assert of_day("\n".join(["timestamp,count", *lines]), "2026-01-01") == [float(m) for m in range(MINUTES)]
    del lines[700]
    with pytest.raises(ValueError, match=r"2026-01-01 has 1439 values, not one for each of its 1440 minutes"):
        of_day("\n".join(["timestamp,count", *lines]), "2026-01-01")
