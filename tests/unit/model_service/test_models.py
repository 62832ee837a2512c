import pytest

from model_service.models import Models
from tests.unit.model_service.engines import Multiplying, model
from wire.errors import ModelNotFound


@pytest.fixture
def models() -> Models:
    models = Models()
    for name, number in (("a", 1), ("a", 10), ("a", 9), ("b", 3)):
        models.add(model(Multiplying(), number=number, name=name))
    return models


def test_the_highest_version_answers_for_a_model(models: Models) -> None:
    assert models.get("a").number == 10
    assert models.get("a", "9").number == 9
    assert models.versions("a") == [1, 9, 10]
    assert sorted((loaded.name, loaded.number) for loaded in models) == [("a", 1), ("a", 9), ("a", 10), ("b", 3)]


@pytest.mark.parametrize("version", ["2", "x", "", "-1", "1" * 5000, "\u00b2"])
def test_a_version_that_is_not_here_is_refused_with_those_that_are(models: Models, version: str) -> None:
    with pytest.raises(ModelNotFound, match="it has: 1, 9, 10"):
        models.get("a", version)


def test_a_model_whose_versions_are_all_gone_is_not_here(models: Models) -> None:
    models.remove(models.get("b"))
    with pytest.raises(ModelNotFound, match="'b' is not loaded"):
        models.get("b")
    assert models.versions("b") == []


def test_removing_a_model_leaves_its_successor_of_the_same_number() -> None:
    models, first, second = Models(), model(Multiplying()), model(Multiplying())
    models.add(first)
    models.add(second)
    models.remove(first)
    assert list(models) == [second]
    models.remove(second)
    models.remove(second)
    assert list(models) == []
