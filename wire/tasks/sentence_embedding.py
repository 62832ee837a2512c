"""Texts in, one vector each out."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from wire.errors import InvalidInput
from wire.messages import InferResponse
from wire.schemas import NUMBERS, STRING, TEXTS, Schema, array_of, either, object_of, one_word_of, or_null
from wire.tasks.contract import Asked, ModelFacts, PublicTensor
from wire.tasks.parameter import Given
from wire.tasks.similarity import COMPARE
from wire.tasks.text import TRUNCATE, TextContract, check_only, keep_known, pick, text_of, texts_of
from wire.tasks.vectors import DIMENSIONS, OF_MODEL, PROMPT_NAME, model_parameters, vectors_of

_PAIR: Final = {"source_sentence": STRING, "sentences": array_of(STRING, minItems=1)}


class SentenceEmbedding(TextContract):
    """Inputs that are an object ask how near one sentence is to each of others."""

    name = "sentence-embedding"
    about = "texts in, one vector each out"
    head = "vectors"
    outputs = (PublicTensor("embedding", "FP32", (-1, -1)),)
    architectures = ("Model",)
    parameters = (TRUNCATE, PROMPT_NAME, DIMENSIONS)
    body_parameters: ClassVar[Mapping[str, Schema]] = {
        "normalize": or_null({"type": "boolean", "description": "What the model does, if anything."}),
        TRUNCATE.name: TRUNCATE.schema,
        "truncation_direction": or_null({"type": "string", "description": "Where the model cuts: left or right."}),
        "encoding_format": or_null(one_word_of(["float"])),
        **OF_MODEL,
    }
    beside = True
    body_inputs: ClassVar[Schema] = either(*TEXTS["oneOf"], object_of(_PAIR, *_PAIR))
    body_answer: ClassVar[Schema] = either(NUMBERS, array_of(NUMBERS, minItems=1))
    comparable = True

    def read_body(self, inputs: Any, parameters: Given, model: ModelFacts) -> Asked:
        if isinstance(inputs, dict):
            return _similarity(inputs, parameters, model)
        return self._features(inputs, parameters, model)

    def prediction(self, row: Any, labels: Sequence[str]) -> Any:
        return row

    def _features(self, inputs: Any, parameters: Given, model: ModelFacts) -> Asked:
        """A vector for a text, a list of vectors for a list."""
        parameters = keep_known(parameters, self.body_parameters)
        text = text_of(model)
        check_only(parameters, "normalize", text.normalize)
        check_only(parameters, "encoding_format", "float")
        side = text.truncation_side or "right"
        if str(parameters.get("truncation_direction", side)).lower() != side:
            raise InvalidInput(f"truncation_direction can only be '{side}': there this model's texts are cut")
        single = isinstance(inputs, str)

        def shape(response: InferResponse) -> Any:
            vectors = [vector.tolist() for vector in vectors_of(response.outputs[0])]
            return vectors[0] if single else vectors

        wanted = {**pick(parameters, TRUNCATE.name), **model_parameters(parameters, model)}
        return Asked(texts_of(inputs, "inputs"), shape, wanted)


def _similarity(inputs: dict[str, Any], parameters: Given, model: ModelFacts) -> Asked:
    """How near the source sentence is to each of the others, as the model's vectors are compared: cosines as a rule."""
    parameters = keep_known(parameters, (PROMPT_NAME.name,))
    source, sentences = inputs.get("source_sentence"), inputs.get("sentences")
    if not isinstance(source, str) or not isinstance(sentences, list):
        raise InvalidInput("inputs must be text, or {'source_sentence': a string, 'sentences': a list of strings}")
    compare = COMPARE[text_of(model).similarity]

    def shape(response: InferResponse) -> Any:
        first, *others = vectors_of(response.outputs[0])
        return [compare(first, other) for other in others]

    texts = texts_of(source, "source_sentence") + texts_of(sentences, "sentences")
    return Asked(texts, shape, model_parameters(parameters, model))


CONTRACT: Final = SentenceEmbedding()
