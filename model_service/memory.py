"""Memory that was freed goes back to the system: glibc keeps it otherwise."""

import gc
from typing import Final

from service.memory import of_glibc, trim


def give_back() -> None:
    """Return what was freed, unloaded models above all."""
    gc.collect()
    trim()


def use_one_arena() -> None:
    """Have all threads share one heap; to be called before they start.

    glibc gives each thread a heap of its own otherwise, and of each up to 64 MB stay whatever `give_back` does.
    """
    if _mallopt is not None:
        _mallopt(_M_ARENA_MAX, 1)


_M_ARENA_MAX: Final = -8
_mallopt: Final = of_glibc("mallopt")
