"""What the exit code of a process says about its end."""

import signal
from contextlib import suppress
from typing import Final

# What a process does to itself. Any other signal came from outside (the kernel, short of memory; a Ctrl-C, which the
# whole process group gets) and says nothing about what it was at.
CRASHES: Final = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")


def signal_name(code: int) -> str:
    """The name of the signal that a negative exit code stands for."""
    with suppress(ValueError):  # a real-time signal has no name
        return signal.Signals(-code).name
    return str(-code)


def describe_end(code: int) -> str:
    """How the process ended, in words: `was killed by SIGFPE`."""
    return f"ended with status {code}" if code >= 0 else f"was killed by {signal_name(code)}"
