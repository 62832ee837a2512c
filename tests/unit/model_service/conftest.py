"""What several test modules here ask for: a worker over fakes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.model_service.workers import Worker


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.gate.set()
    await worker.reconciler.close()
