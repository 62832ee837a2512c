import socket
from threading import Thread

import numpy as np
import pytest

from model_service.engines.base import Arrays
from model_service.engines.frames import Closed, receive, send

ARRAYS: dict[str, Arrays] = {
    "nothing": {},
    "numbers": {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1, -1], np.int8)},
    "a scalar": {"x": np.array(7, np.int64)},
    "no elements": {"x": np.zeros((2, 0, 3), np.float16), "y": np.ones(1, np.float64)},
    "booleans": {"x": np.array([[True], [False]])},
    "not contiguous": {"x": np.arange(12, dtype=np.int32).reshape(3, 4).T},
    "texts": {"x": np.array([[b"", b"a\0b"], ["é".encode(), b"\xff"]], np.object_), "n": np.array([3], np.uint8)},
    "more than a socket's buffer": {"x": np.arange(1 << 20, dtype=np.float64), "y": np.arange(5, dtype=np.uint16)},
    "more parts than a system call takes": {str(n): np.array([n] * (n % 5), np.int16) for n in range(300)},
}


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays_arrive_as_they_were(ends: tuple[socket.socket, socket.socket], what: str) -> None:
    Thread(target=send, args=(ends[0], 2**40, {"any": ["JSON"]}, ARRAYS[what])).start()
    run, about, arrays = receive(ends[1])
    assert (run, about) == (2**40, {"any": ["JSON"]})
    assert list(arrays) == list(ARRAYS[what])
    for name, array in ARRAYS[what].items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].flags.aligned
        np.testing.assert_array_equal(arrays[name], array)


def test_of_frames_that_wait_one_after_the_other_is_read(ends: tuple[socket.socket, socket.socket]) -> None:
    for run in range(3):
        send(ends[0], run, run, {})
    assert [receive(ends[1], ahead=0)[:2] for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]


def test_the_other_end_s_death_is_no_frame(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].sendall(b"half a head")
    ends[0].close()
    with pytest.raises(Closed):
        receive(ends[1])
    with pytest.raises(Closed):
        send(ends[1], 0, None, {"x": np.zeros(1 << 20)})
