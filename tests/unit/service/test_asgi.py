"""What a request says of itself in its headers."""

import pytest

from service.asgi import deadline_of, headers_of, json_length, refuses_cache
from wire.errors import InvalidInput


def test_headers_are_found_by_name_and_several_lines_of_one_are_joined() -> None:
    assert headers_of({"headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]}) == {b"a": b"1, 3", b"b": b"2"}


def test_what_can_be_said_once_is_refused_on_two_lines() -> None:
    twice = headers_of(
        {"headers": [(b"inference-header-content-length", b"7"), (b"inference-header-content-length", b"7")]}
    )
    with pytest.raises(InvalidInput, match="whole number"):
        json_length(twice)


@pytest.mark.parametrize("values", [(b"no-cache", b"max-age=60"), (b"max-age=60", b"no-cache")])
def test_no_cache_is_heard_on_whichever_line(values: tuple[bytes, bytes]) -> None:
    assert refuses_cache(headers_of({"headers": [(b"cache-control", value) for value in values]}))


def test_without_a_timeout_there_is_no_deadline() -> None:
    assert deadline_of({}, 5.0) is None
    assert deadline_of({b"x-envoy-expected-rq-timeout-ms": b"0"}, 5.0) is None


def test_the_deadline_is_the_sooner_one_counted_from_arrival() -> None:
    both = {b"x-request-timeout-ms": b"300", b"x-envoy-expected-rq-timeout-ms": b"2000"}
    assert deadline_of(both, 5.0) == pytest.approx(5.3)
    assert deadline_of({**both, b"x-envoy-expected-rq-timeout-ms": b"100"}, 5.0) == pytest.approx(5.1)


@pytest.mark.parametrize("text", [b"", b"-1", b"1.5", b"ten", b"9" * 21, "\u0663".encode()])
def test_a_number_that_is_none_is_the_clients_fault(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="x-request-timeout-ms"):
        deadline_of({b"x-request-timeout-ms": text}, 0.0)
    with pytest.raises(InvalidInput, match="inference-header-content-length"):
        json_length({b"inference-header-content-length": text})
