import gc
import signal
import socket
import sys
from typing import Any

import pytest

from model_service.engines.child_process import ChildProcess, End
from model_service.engines.frames import Closed, receive


def dying(number: int, after_s: float) -> ChildProcess:
    """One that has closed its socket, and dies of a signal a while later."""
    process = ChildProcess("tests.unit.model_service.dying", (str(int(number)), str(after_s)))
    with pytest.raises(Closed):
        receive(process.sockets[0])
    return process


@pytest.mark.parametrize("number", [signal.SIGFPE, signal.SIGKILL])
def test_what_it_died_of_is_waited_for(number: signal.Signals) -> None:
    end = dying(number, 1.0).end()
    assert end == End(-number)
    assert str(end) == f"was killed by {number.name}"


def test_what_was_killed_because_it_stayed_has_not_died_of_that() -> None:
    end = dying(signal.SIGFPE, 3600).end(0.1)
    assert (end.code, end.forced) == (-signal.SIGKILL, "it was still there 0.1 s after its connection was closed")


def test_it_is_killed_for_the_first_reason_given() -> None:
    process = dying(signal.SIGFPE, 3600)
    process.kill("it was late")
    process.kill("nobody waited for it")
    assert str(process.end()) == "was ended, as it was late"


def test_what_has_died_already_is_not_said_to_be_killed() -> None:
    process = dying(signal.SIGFPE, 0)
    process._process.wait(30)
    process.kill("it was late")
    assert process.end() == End(-signal.SIGFPE)


def test_where_there_is_no_descriptor_left_that_is_all_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: list[Any] = []

    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socketpair", refuse)
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    with pytest.raises(OSError, match="Too many open files"):
        ChildProcess("tests.unit.model_service.dying", ())
    gc.collect()
    assert not unraisable


def test_its_sockets_are_closed_with_it() -> None:
    process = dying(signal.SIGFPE, 0)
    (connection,) = process.sockets
    process.end()
    assert connection.fileno() >= 0, "whoever watches it may still be there"
    del process
    gc.collect()
    assert connection.fileno() < 0
