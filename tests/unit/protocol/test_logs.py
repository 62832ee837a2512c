import logging

from model_service.protocol.logs import Rarely


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
