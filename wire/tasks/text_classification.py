"""Texts in, labels with scores out: a row of JSON each, `[{"label": str, "score": float}, ...]`."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson

from wire.schemas import STRING, Schema, array_of, object_of, or_null
from wire.tasks.contract import Asked, ModelFacts, NotComparable, PublicTensor
from wire.tasks.parameter import Count, Given
from wire.tasks.text import TRUNCATE, TextContract, check_only, json_rows, keep_known, pick, text_of, texts_of

TOP_K: Final = Count("top_k")


class TextClassification(TextContract):
    name = "text-classification"
    about = "texts in, for each the labels with their scores out, the likeliest first"
    outputs = (PublicTensor("labels", "BYTES", (-1,)),)
    json_rows = True
    architectures = ("ForSequenceClassification",)
    head = "labels"
    logits_rank = 2
    parameters = (TRUNCATE, TOP_K)
    body_parameters: ClassVar[Mapping[str, Schema]] = {
        TOP_K.name: TOP_K.schema,
        "function_to_apply": or_null({"type": "string", "description": "What the model does, if anything."}),
    }
    body_answer: ClassVar[Schema] = array_of(
        array_of(object_of({"label": STRING, "score": {"type": "number"}}, "label", "score"))
    )
    comparable = True

    def read_body(self, inputs: Any, parameters: Given, model: ModelFacts) -> Asked:
        """For each text the list of its labels with their scores; for one text too, as the API has it."""
        parameters = keep_known(parameters, self.body_parameters)
        check_only(parameters, "function_to_apply", text_of(model).activation)
        return Asked(texts_of(inputs, "inputs"), json_rows, pick(parameters, TOP_K.name))

    def prediction(self, row: Any, labels: Sequence[str]) -> dict[str, float]:
        scores = {entry["label"]: entry["score"] for entry in orjson.loads(row)}
        if set(scores) != set(labels):
            apart = f"it tells {', '.join(sorted(scores))} apart"
            raise NotComparable(f"{apart}, the new model {', '.join(sorted(labels))}")
        return {label: float(scores[label]) for label in labels}


CONTRACT: Final = TextClassification()
