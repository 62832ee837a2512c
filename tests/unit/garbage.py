"""What a block leaves behind in cycles, which only the garbage collector frees: large bodies would come back late."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def garbage() -> Iterator[list[str]]:
    """The classes of this project whose objects the block has left in cycles; known once it is over."""
    left: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += sorted({type(one).__qualname__ for one in gc.garbage if not type(one).__module__.startswith("tests.")})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
