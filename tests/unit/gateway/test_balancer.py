from time import monotonic

import pytest

from gateway.balancer import EJECT_MAX_S, Balancer, Replica
from wire.errors import WorkerUnavailable


def replicas(count: int) -> list[Replica]:
    return [Replica.at(f"http://127.0.0.1:{port}") for port in range(1, count + 1)]


def test_the_replica_with_the_fewest_outstanding_requests_is_chosen() -> None:
    busy, idle = replicas(2)
    busy.outstanding = 1
    assert {Balancer().choose([busy, idle]) for _ in range(3)} == {idle}


def test_equally_busy_replicas_take_turns() -> None:
    balancer, three = Balancer(), replicas(3)
    assert {balancer.choose(three).id for _ in range(3)} == {replica.id for replica in three}


def test_where_the_last_one_is_to_go_on_it_does_until_it_has_more_to_do_than_another() -> None:
    balancer, three = Balancer(), replicas(3)
    first = balancer.choose(three)
    assert {balancer.choose(three, stay=True) for _ in range(5)} == {first}
    first.outstanding = 1
    assert balancer.choose(three, stay=True) is not first
    first.outstanding = 0
    assert balancer.choose(three, stay=True) is first
    assert balancer.choose(three) is not first


def test_an_unhealthy_or_ejected_replica_is_left_alone() -> None:
    sick, ejected, well = replicas(3)
    sick.healthy = False
    ejected.record_failure()
    assert {Balancer().choose([sick, ejected, well]) for _ in range(5)} == {well}


def test_each_failure_in_a_row_ejects_for_longer_and_a_success_forgives() -> None:
    (replica,) = replicas(1)
    terms = []
    for _ in range(3):
        replica.record_failure()
        terms.append(replica.ejected_until)
    assert terms == sorted(set(terms))
    replica.record_success(monotonic())
    assert replica.available(0.0)
    assert replica.failures == 0


def test_where_none_is_well_all_are_tried() -> None:
    two = replicas(2)
    for replica in two:
        replica.healthy = False
    balancer = Balancer()
    assert {balancer.choose(two) for _ in range(2)} == set(two)


def test_a_retry_goes_to_another_replica_where_there_is_one() -> None:
    first, second = replicas(2)
    second.outstanding = 5
    assert Balancer().choose([first, second], avoid=[first]) is second
    assert Balancer().choose([first], avoid=[first]) is first


def test_no_replica_at_all_is_an_error() -> None:
    with pytest.raises(WorkerUnavailable):
        Balancer().choose([])


def test_it_may_fail_as_often_as_it_likes() -> None:
    (replica,) = replicas(1)
    for _ in range(1100):
        replica.record_failure()
    assert replica.ejected_until <= monotonic() + EJECT_MAX_S
