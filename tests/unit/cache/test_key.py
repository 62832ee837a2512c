import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.key import cache_key


@dataclass(frozen=True)
class Input:
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True)
class Request:
    tenant: str
    digest: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, Any]

    @property
    def key(self) -> bytes:
        return cache_key(self.tenant, self.digest, self.inputs, self.outputs, self.parameters)

    @property
    def meaning(self) -> tuple[Any, ...]:
        by_name = sorted(self.inputs, key=lambda tensor: tensor.name)
        return self.tenant, self.digest, by_name, self.outputs, json.dumps(self.parameters, sort_keys=True)


# Few letters and short words: what one part ends with is often what the next begins with, and equal requests come up.
words = st.text('ab",\0', max_size=2)
values = st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from([0.0, 1.0]) | words
inputs = st.builds(
    Input,
    name=words,
    datatype=st.sampled_from(["INT8", "UINT8"]),
    shape=st.lists(st.integers(0, 2), max_size=2).map(tuple),
    data=st.binary(max_size=2),
)
requests = st.builds(
    Request,
    tenant=words,
    digest=words,
    inputs=st.lists(inputs, max_size=2, unique_by=lambda tensor: tensor.name).map(tuple),
    outputs=st.lists(words, max_size=2).map(tuple),
    parameters=st.dictionaries(words, values | st.lists(values, max_size=2) | st.dictionaries(words, values)),
)

REQUEST = Request(
    tenant="tenant",
    digest="sha256:ab",
    inputs=(Input("x", "FP32", (1, 2), b"12345678"), Input("y", "INT8", (2,), b"ab")),
    outputs=("p", "q"),
    parameters={"top_k": 3, "nested": {"a": 1, "b": [1, 2]}},
)
X, Y = REQUEST.inputs


@given(requests, requests)
def test_two_requests_share_a_key_exactly_when_they_mean_the_same(one: Request, other: Request) -> None:
    assert (one.key == other.key) == (one.meaning == other.meaning)


@given(requests, st.randoms(use_true_random=False))
def test_the_order_of_inputs_and_parameters_does_not_matter(request_: Request, random: Any) -> None:
    inputs = list(request_.inputs)
    random.shuffle(inputs)
    parameters = list(request_.parameters.items())
    random.shuffle(parameters)
    assert replace(request_, inputs=tuple(inputs), parameters=dict(parameters)).key == request_.key


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, tenant="tenant2"),
        replace(REQUEST, tenant="tenantsha256:ab", digest=""),
        replace(REQUEST, digest="sha256:ac"),
        replace(REQUEST, inputs=(X,)),
        replace(REQUEST, inputs=(replace(X, name="z"), Y)),
        replace(REQUEST, inputs=(replace(X, name="y"), replace(Y, name="x"))),
        replace(REQUEST, inputs=(replace(X, datatype="INT32"), Y)),
        replace(REQUEST, inputs=(replace(X, shape=(2, 1)), Y)),
        replace(REQUEST, inputs=(replace(X, shape=(2,)), Y)),
        replace(REQUEST, inputs=(replace(X, data=b"12345679"), Y)),
        replace(REQUEST, inputs=(replace(X, data=b"12345678a"), replace(Y, data=b"b"))),
        replace(REQUEST, outputs=()),
        replace(REQUEST, outputs=("q", "p")),
        replace(REQUEST, outputs=("pq",)),
        replace(REQUEST, parameters={}),
        replace(REQUEST, parameters={**REQUEST.parameters, "top_k": "3"}),
        replace(REQUEST, parameters={**REQUEST.parameters, "nested": {"a": 1, "b": [2, 1]}}),
    ],
)
def test_whatever_determines_the_answer_is_in_the_key(other: Request) -> None:
    assert other.key != REQUEST.key


def test_nested_parameters_have_one_order() -> None:
    parameters = {"nested": {"b": [1, 2], "a": 1}, "top_k": 3}
    assert replace(REQUEST, parameters=parameters).key == REQUEST.key


def test_a_key_is_128_bits() -> None:
    assert len(REQUEST.key) == 16


def test_parameters_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(TypeError):
        cache_key("", "", [], [], {"a": object()})
