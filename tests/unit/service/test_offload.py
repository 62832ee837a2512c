"""What takes long runs in a thread."""

import threading

from service.offload import LARGE, run_in_thread_if_large


async def test_what_is_large_runs_in_another_thread_and_what_is_small_at_once() -> None:
    assert await run_in_thread_if_large(LARGE, threading.get_ident) == threading.get_ident()
    assert await run_in_thread_if_large(LARGE + 1, threading.get_ident) != threading.get_ident()
