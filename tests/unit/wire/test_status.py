import inspect

import pytest

from wire import errors
from wire.errors import ServingError
from wire.status import from_wire, http_status

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, ServingError)]


@pytest.mark.parametrize("cls", ALL)
def test_every_error_is_the_same_after_a_hop(cls: type[ServingError]) -> None:
    sent = cls("why", retry_after=2)
    got = from_wire(http_status(sent), cls.__name__, str(sent), 2)
    assert (type(got), str(got), got.retry_after) == (cls, "why", 2)


@pytest.mark.parametrize("cls", ALL)
def test_every_error_has_a_message_of_its_own(cls: type[ServingError]) -> None:
    assert str(cls()) == (cls.__doc__ or "").strip() != ""


def test_an_answer_without_a_code_is_told_by_its_status() -> None:
    assert isinstance(from_wire(413, None, ""), errors.TooLarge)
    assert type(from_wire(418, None, "")) is ServingError
