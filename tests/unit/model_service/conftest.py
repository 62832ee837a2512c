"""What several test modules here ask for: a worker over fakes, the ends of a channel."""

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.unit.model_service.workers import Worker


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.gate.set()
    await worker.reconciler.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A worker's and an engine's end of a channel."""
    pair = socket.socketpair()
    yield pair
    for end in pair:
        end.close()
