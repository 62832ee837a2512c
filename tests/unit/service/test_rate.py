from service.rate import Rate


def test_a_burst_goes_through_and_then_so_many_a_second() -> None:
    now = [5.0]
    rate = Rate(per_s=2, burst=3, clock=lambda: now[0])
    assert [rate.take() for _ in range(4)] == [True, True, True, False]
    now[0] += 0.5
    assert [rate.take() for _ in range(2)] == [True, False]
    now[0] += 100
    assert [rate.take() for _ in range(4)] == [True, True, True, False]
