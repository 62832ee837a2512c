"""Texts in, the entities named in them out: a row of JSON each, in the order of the text."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import orjson

from wire.errors import InvalidInput
from wire.messages import InferResponse
from wire.schemas import STRING, Schema, array_of, either, object_of, or_null
from wire.tasks.contract import Asked, ModelFacts, PublicTensor
from wire.tasks.parameter import Choice, Given
from wire.tasks.text import TRUNCATE, TextContract, json_rows, keep_known, pick, texts_of

AGGREGATION: Final = Choice("aggregation_strategy", "simple", ("none",))

_ENTITY: Final = object_of(
    {
        "entity_group": STRING,
        "entity": STRING,
        "score": {"type": "number"},
        "word": STRING,
        "start": {"type": "integer"},
        "end": {"type": "integer"},
    },
    "score", "word", "start", "end",
)  # fmt: skip


class TokenClassification(TextContract):
    """Nothing compares versions of it: the training backend measures words, and the answer holds entities."""

    name = "token-classification"
    about = "texts in, the entities that each names out, with their places and scores"
    outputs = (PublicTensor("entities", "BYTES", (-1,)),)
    json_rows = True
    architectures = ("ForTokenClassification",)
    head = "labels"
    logits_rank = 3
    parameters = (TRUNCATE, AGGREGATION)
    empty = b"[]"
    body_parameters: ClassVar[Mapping[str, Schema]] = {
        AGGREGATION.name: AGGREGATION.schema,
        "ignore_labels": or_null(array_of(STRING)),
    }
    body_answer: ClassVar[Schema] = either(array_of(_ENTITY), array_of(array_of(_ENTITY), minItems=1))

    def read_body(self, inputs: Any, parameters: Given, model: ModelFacts) -> Asked:
        """The entities of a text, or a list of them for each text of a list."""
        parameters = keep_known(parameters, self.body_parameters)
        ignored = parameters.get("ignore_labels", [])
        if not isinstance(ignored, list) or not all(isinstance(label, str) for label in ignored):
            raise InvalidInput("ignore_labels must be a list of strings")
        single = isinstance(inputs, str)

        def shape(response: InferResponse) -> Any:
            rows = json_rows(response)
            if ignored:
                parsed = map(orjson.loads, response.outputs[0].elements())
                rows = [[entity for entity in row if _label(entity) not in ignored] for row in parsed]
            return rows[0] if single else rows

        return Asked(texts_of(inputs, "inputs"), shape, pick(parameters, AGGREGATION.name))


def _label(entity: dict[str, Any]) -> str:
    label: str = entity.get("entity_group") or entity["entity"]
    return label


CONTRACT: Final = TokenClassification()
