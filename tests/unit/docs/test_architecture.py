"""The pages that lead into the code name files that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PATH = re.compile(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`")


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_and_folder_that_it_names_is_there(page: str) -> None:
    named = set(PATH.findall((ROOT / page).read_text()))
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
