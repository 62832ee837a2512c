from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack, running
from training import digits


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with running() as stack:
        yield stack


@pytest.fixture(scope="session")
def model(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a model that is loaded on every worker."""
    folder = tmp_path_factory.mktemp("digits")
    digits.build(folder)
    return stack.publish(folder)
