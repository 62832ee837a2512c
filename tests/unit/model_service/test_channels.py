"""What an engine's process may do to the event loop that waits for it: nothing."""

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import numpy as np
import pytest

from model_service.engines.base import Arrays
from model_service.engines.channels import compute
from model_service.engines.frames import Closed, pack, receive, send
from service.offload import LARGE

SMALL: Arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
LARGER: Arrays = {"x": np.arange(LARGE, dtype=np.float64)}  # than a socket's buffer


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize("inputs", [SMALL, LARGER], ids=["small", "large"])
@pytest.mark.parametrize("outputs", [SMALL, LARGER], ids=["small", "large"])
async def test_a_run_gets_its_answer_whatever_its_size(
    ends: tuple[socket.socket, socket.socket], threads: ThreadPoolExecutor, inputs: Arrays, outputs: Arrays
) -> None:
    ours, theirs = ends
    for run in range(2):  # the one leaves the channel as the other needs it

        def answer() -> None:
            number, _, arrays = receive(theirs)
            np.testing.assert_array_equal(arrays["x"], inputs["x"])
            send(theirs, number, None, outputs)

        answering = Thread(target=answer)
        answering.start()
        number, about, arrays = await compute(ours, run, inputs, threads)
        answering.join()
        assert (number, about) == (run, None)
        np.testing.assert_array_equal(arrays["x"], outputs["x"])


async def test_a_part_of_an_answer_holds_up_nobody(
    ends: tuple[socket.socket, socket.socket], threads: ThreadPoolExecutor
) -> None:
    ours, theirs = ends
    frame = b"".join(pack(1, None, SMALL)[0])
    going_on = Event()

    def answer() -> None:
        receive(theirs)
        theirs.sendall(frame[:-1])
        assert going_on.wait(30)
        theirs.sendall(frame[-1:])

    answering = Thread(target=answer)
    answering.start()
    running = asyncio.create_task(compute(ours, 1, SMALL, threads))
    await asyncio.sleep(0.05)  # what waited for the rest in the loop would never get here
    assert not running.done()
    going_on.set()
    _, _, arrays = await running
    np.testing.assert_array_equal(arrays["x"], SMALL["x"])
    answering.join()


@pytest.mark.parametrize("said", [b"", b"half a head"], ids=["nothing", "half a head"])
async def test_a_process_that_says_less_than_a_head_is_gone(
    ends: tuple[socket.socket, socket.socket], threads: ThreadPoolExecutor, said: bytes
) -> None:
    ours, theirs = ends
    theirs.sendall(said)
    if not said:
        theirs.close()
    with pytest.raises(Closed):
        await compute(ours, 1, SMALL, threads)
