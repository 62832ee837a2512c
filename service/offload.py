"""What takes long goes to a thread, so that the event loop does not wait for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

# What takes more bytes than this takes longer than a trip to a thread.
LARGE: Final = 64 * 1024

# One thread, as making and reading Python's objects holds the interpreter: several at it would not be faster, and the
# event loop would wait for each of them in turn.
_AT_LARGE: Final = ThreadPoolExecutor(1, thread_name_prefix="large")
P = ParamSpec("P")
T = TypeVar("T")


async def run_in_thread_if_large(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` makes of `size` bytes: at once, or in a thread where others would have to wait for it."""
    return await run_in_if_large(_AT_LARGE, size, work, *args, **kwargs)


async def run_in_if_large(threads: Executor, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same, in threads of its own: for what leaves the interpreter to others meanwhile, as numpy does."""
    if size > LARGE:
        return await asyncio.get_running_loop().run_in_executor(threads, partial(work, *args, **kwargs))
    return work(*args, **kwargs)
