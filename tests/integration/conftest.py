from collections.abc import Iterator

import pytest

from tests.platform import LocalPlatform, platform_in


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A real platform, shared: tests publish models of their own before they change any."""
    with platform_in(tmp_path_factory.mktemp("platform")) as platform:
        yield platform
