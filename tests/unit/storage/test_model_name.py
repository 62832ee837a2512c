"""What a model may be called."""

import pytest

from storage.model_name import check_name


@pytest.mark.parametrize("name", ["a", "MiniLM-L6_v2.1", "0", "a" * 128])
def test_a_model_may_be_called(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "a b", "a\n", "ä", "a" * 129, ".."])
def test_a_model_may_not_be_called(name: str) -> None:
    with pytest.raises(ValueError, match="no model name"):
        check_name(name)
