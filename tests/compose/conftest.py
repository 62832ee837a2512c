from collections.abc import Iterator

import pytest

from tests.compose.slow import make_slow
from tests.compose.stack import Stack, running
from tests.platform import Platform, make_artifacts
from training.demo import digits


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


@pytest.fixture(scope="session")
def slow(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a model that takes as long as it is asked to; see `turns`."""
    folder = tmp_path_factory.mktemp("slow")
    make_slow(folder)
    return stack.publish(folder)


@pytest.fixture(scope="session")
def platform(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """For the tests in suites/, which are those of tests/integration that ask any platform: links, not copies."""
    artifacts = make_artifacts(tmp_path_factory.mktemp("made"))
    platform = Platform(stack.url, artifacts, stack.http, stack.until, lambda: stack.processes("worker"))
    platform.publish_all()
    return platform
