import pytest

from wire.errors import CrashingInput
from wire.messages import InferRequest
from wire.refusals import LIMIT, Refusals, fingerprint
from wire.tensors import Tensor, from_json


def request(*values: float, **parameters: object) -> InferRequest:
    return InferRequest("m", None, [from_json("x", "FP32", (len(values),), list(values))], parameters=parameters)


def test_only_the_very_input_is_refused() -> None:
    refusals = Refusals()
    refusals.add(fingerprint(request(1, 2)), "it ends the process")
    with pytest.raises(CrashingInput, match="it ends the process") as refused:
        refusals.check(request(1, 2))
    assert refused.value.retry_after is not None
    for other in (request(2, 1), request(1), request(1, 2, mode="a")):
        refusals.check(other)


def test_where_one_tensor_ends_and_the_next_begins_makes_a_difference() -> None:
    one = InferRequest("m", None, [Tensor("a", "BYTES", (1,), b"ab"), Tensor("b", "BYTES", (1,), b"c")])
    other = InferRequest("m", None, [Tensor("a", "BYTES", (1,), b"a"), Tensor("b", "BYTES", (1,), b"bc")])
    assert fingerprint(one) != fingerprint(other)
    one.inputs.reverse()
    other.inputs = sorted(one.inputs, key=lambda tensor: tensor.name)
    assert fingerprint(one) == fingerprint(other)


def test_a_refusal_ends() -> None:
    refusals = Refusals()
    refusals.add(fingerprint(request(1)), "", seconds=-1)
    refusals.check(request(1))
    assert not refusals


def test_what_one_process_refuses_another_learns_for_as_long() -> None:
    refusing, learning = Refusals(), Refusals()
    refusing.add(fingerprint(request(1)), "reason", seconds=60)
    refusing.add(fingerprint(request(2)), "reason", seconds=-1)
    told = refusing.tell()
    assert list(told) == [fingerprint(request(1))]
    learning.learn(told)
    with pytest.raises(CrashingInput, match="reason") as refused:
        learning.check(request(1))
    assert 50 < (refused.value.retry_after or 0) <= 60


def test_they_are_limited() -> None:
    refusals = Refusals()
    for value in range(LIMIT + 1):
        refusals.add(fingerprint(request(value)), "")
    assert len(refusals.tell()) == LIMIT
    refusals.check(request(0))
