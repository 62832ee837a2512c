import logging
import sys
from typing import Any

import pytest

from service.logs import FIELDS, Flood, Rarely, TextFormatter


def record(message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.WARNING, "x.py", 1, message, values, None)


def test_a_message_that_is_repeated_comes_once_in_a_while_whatever_is_filled_in() -> None:
    now = [100.0]
    rarely = Rarely(60.0, clock=lambda: now[0])
    assert rarely.filter(record("cannot send %d", 1))
    assert not rarely.filter(record("cannot send %d", 2))
    assert rarely.filter(record("the queue is full"))
    assert not rarely.filter(record("cannot send %d", 3))
    now[0] += 60.0
    assert rarely.filter(record("cannot send %d", 4))


def line(message: str, *values: object, **fields: Any) -> str:
    """What is written after the logger's name."""
    about = record(message, *values)
    setattr(about, FIELDS, fields)
    return TextFormatter().format(about).split(" x: ", 1)[1]


def test_a_plain_value_is_written_as_it_is() -> None:
    assert line("request", id="a-1/b:2", ms=1.5, trace=None, model="größe") == (
        "request id=a-1/b:2 ms=1.5 trace=None model=größe"
    )


@pytest.mark.parametrize("value", ["a outcome=hit", "", "a\nb", "a=b", '"', "a\\", "a\x1b[2Kb", "a\u2028b", "a\xa0b"])
def test_a_value_forges_no_other(value: str) -> None:
    written = line("request", id=value, outcome="NotFound")
    assert written.startswith('request id="')
    assert written.endswith('" outcome=NotFound')
    assert written.isprintable()
    assert " outcome=hit " not in written.replace('"a outcome=hit"', "")


def test_a_message_ends_no_line() -> None:
    assert line("%s failed", "/a\n2026-01-01 INFO x: \x1b[1mwell\r\n") == (
        "/a\\n2026-01-01 INFO x: \\u001b[1mwell\\r\\n failed"
    )


def test_an_error_looks_like_no_other_line() -> None:
    try:
        raise ValueError("no\n2026-01-01 INFO x: all is well\r\x1b[1m")
    except ValueError:
        about = logging.LogRecord("x", logging.ERROR, "x.py", 1, "it failed", (), sys.exc_info())
    first, *others = TextFormatter().format(about).splitlines()
    assert first.endswith("it failed")
    assert all(other.startswith("  ") for other in others)
    assert "\x1b" not in "".join(others)


def test_of_a_flood_some_lines_are_written_and_the_next_one_tells_how_many_were_not() -> None:
    now = [100.0]
    flood = Flood(clock=lambda: now[0])
    burst = int(5 * Flood.PER_S)
    assert [flood.filter(record("request %d failed", number)) for number in range(burst + 30)].count(True) == burst
    assert flood.filter(record("another message"))
    now[0] += 1.01 / Flood.PER_S
    next_one = record("request %d failed", 1000)
    assert flood.filter(next_one)
    assert getattr(next_one, FIELDS) == {"left_out": 30}
    now[0] += 1.01 / Flood.PER_S
    last = record("request %d failed", 1001)
    assert flood.filter(last)
    assert not hasattr(last, FIELDS)


def test_messages_that_are_never_the_same_take_no_memory_without_end() -> None:
    flood = Flood()
    for number in range(5000):
        flood.filter(record(f"filled in already: {number}"))
    assert len(flood._rates) <= 1000
