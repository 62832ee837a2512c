from cache.breaker import Breaker, State


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=3, open_s=10, clock=clock)
    assert [breaker.record_failure() for _ in range(3)] == [False, False, True]
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(failures=3, open_s=10, clock=Clock())
    for _ in range(5):
        breaker.record_failure()
        breaker.record_failure()
        assert breaker.allow()
        breaker.record_success()
    assert [breaker.record_failure() for _ in range(3)] == [False, False, True]
    assert breaker.state is State.OPEN
    assert not breaker.allow()


def test_an_open_breaker_lets_one_probe_through_when_its_time_is_over() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 9.9
    assert not breaker.allow()
    clock.now = 10.0
    assert breaker.allow()
    assert breaker.state is State.HALF_OPEN
    assert not breaker.allow()


def test_a_probe_that_succeeds_closes_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10.0
    assert breaker.allow()
    breaker.record_success()
    assert breaker.state is State.CLOSED
    assert breaker.allow()
    assert not breaker.record_failure(), "the failures from before must be forgotten"


def test_a_probe_that_fails_opens_it_for_another_while_and_is_not_a_new_opening() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10.0
    assert breaker.allow()
    assert not breaker.record_failure()
    assert breaker.state is State.OPEN
    clock.now = 19.9
    assert not breaker.allow()
    clock.now = 20.0
    assert breaker.allow()


def test_a_probe_that_never_reports_is_followed_by_another() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10.0
    assert breaker.allow()
    clock.now = 20.0
    assert breaker.allow()


def test_calls_that_fail_late_do_not_keep_it_open_longer() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 9.0
    assert not breaker.record_failure()
    clock.now = 10.0
    assert breaker.allow()
