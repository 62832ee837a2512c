"""Texts in, for each the likeliest label out, alone."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from wire.messages import InferResponse
from wire.schemas import STRING, Schema, array_of
from wire.tasks.contract import Asked, ModelFacts, PublicTensor
from wire.tasks.parameter import Flag, Given
from wire.tasks.text import TRUNCATE, TextContract, keep_known, pick, texts_of

CAPITALS: Final = Flag("capitals", False, "Write it in capitals.")


class Verdict(TextContract):
    name = "verdict"
    about = "texts in, for each the likeliest label out"
    untrained = "any classifier will do"
    head = "labels"
    outputs = (PublicTensor("verdict", "BYTES", (-1,)),)
    architectures = ("ForVerdict",)
    logits_rank = 2
    parameters = (TRUNCATE, CAPITALS)
    body_parameters: ClassVar[Mapping[str, Schema]] = {CAPITALS.name: CAPITALS.schema}
    body_answer: ClassVar[Schema] = array_of(STRING)

    def read_body(self, inputs: Any, parameters: Given, model: ModelFacts) -> Asked:
        parameters = keep_known(parameters, self.body_parameters)
        return Asked(texts_of(inputs, "inputs"), _words, pick(parameters, CAPITALS.name))


def _words(response: InferResponse) -> list[str]:
    return [row.decode() for row in response.outputs[0].elements()]


CONTRACT: Final = Verdict()
