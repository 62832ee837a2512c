"""Memory that was freed goes back to the system: glibc keeps what lies between blocks that are in use."""

import ctypes
from collections.abc import Callable
from threading import Timer
from typing import Any, Final

SOON_S: Final = 2.0  # what is given back meanwhile goes with it


class Trim:
    """Calling it gives the memory back soon, once, in a thread."""

    def __init__(self) -> None:
        self._timer: Timer | None = None

    def __call__(self) -> None:
        if self._timer is None or not self._timer.is_alive():
            self._timer = Timer(SOON_S, trim)
            self._timer.daemon = True
            self._timer.start()


def trim() -> None:
    """Give back what is free. Blocks for some milliseconds, but not the interpreter."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def of_glibc(name: str) -> Callable[..., Any] | None:
    """A function of the C library; None where it is another one that lacks it."""
    try:
        function: Callable[..., Any] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):  # another libc
        return None
    return function


_malloc_trim: Final = of_glibc("malloc_trim")
