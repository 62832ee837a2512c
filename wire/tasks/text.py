"""What the tasks share that read text: a text or a list of them in JSON, and the parameters that come with them."""

from collections.abc import Collection
from typing import Any, ClassVar, Final

import orjson

from wire.errors import InvalidInput
from wire.messages import InferResponse
from wire.quote import quote
from wire.schemas import TEXTS, Schema
from wire.tasks.contract import Contract, ModelFacts, PublicTensor, TextFacts
from wire.tasks.parameter import Flag, Given

TRUNCATE: Final = Flag("truncate", True, "False: long texts are refused, not cut.")


class TextContract(Contract):
    """A text a row goes in."""

    takes_text = True
    inputs = (PublicTensor("text", "BYTES", (-1,)),)
    body_inputs: ClassVar[Schema] = TEXTS
    example: ClassVar[Any] = "The water runs from the gate to the turbines."


def texts_of(value: Any, name: str) -> list[bytes]:
    """The one text or the list of them that stands under `name`. Raises InvalidInput."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise InvalidInput(f"{name} must be a string or a list of strings that is not empty")
    for text in texts:
        if isinstance(text, str):
            continue
        if _is_token_ids(text):
            raise InvalidInput(f"{name} must be text: token ids belong to one tokenizer, and are not taken")
        raise InvalidInput(f"{name} must be a string or a list of strings, not of {quote(text)}")
    return [text.encode() for text in texts]


def text_of(model: ModelFacts) -> TextFacts:
    """The manifest's section `text`."""
    assert model.text is not None  # the manifest checks that text tasks have it
    return model.text


def json_rows(response: InferResponse) -> list[Any]:
    """The answer's rows, which are JSON already."""
    return [orjson.Fragment(row) for row in response.outputs[0].elements()]


def keep_known(parameters: Given, known: Collection[str]) -> Given:
    """Those that are not null. Raises InvalidInput for one that is not `known`."""
    if unknown := sorted(parameters.keys() - set(known)):
        raise InvalidInput(f"unknown parameter {quote(unknown[0])}; this task takes {', '.join(known) or 'none'}")
    return {name: value for name, value in parameters.items() if value is not None}


def pick(parameters: Given, name: str) -> dict[str, Any]:
    """The parameter of that name alone, for the model; nothing where it is not there."""
    return {name: parameters[name]} if name in parameters else {}


def check_only(parameters: Given, name: str, own: Any) -> None:
    """Raises InvalidInput where a parameter asks for something else than what the model does: `own`."""
    if (value := parameters.get(name, own)) != own:
        raise InvalidInput(f"this model's {name} is {orjson.dumps(own).decode()} and cannot be {quote(value)}")


def _is_token_ids(value: Any) -> bool:
    ids = value if isinstance(value, list) else [value]
    return bool(ids) and all(type(one) is int for one in ids)
