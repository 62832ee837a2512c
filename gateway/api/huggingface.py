"""Hugging Face's inference style: `POST /models/{model}` with `{"inputs": ..., "parameters": ..., "options": ...}`.

Each task answers in the shape of Hugging Face's own API, which `huggingface_hub.InferenceClient` reads. A parameter
that would change the answer and that the model cannot follow is refused, not ignored.
"""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import sqrt
from operator import mul
from typing import Any, Final

import orjson

from gateway.api.endpoint import Question, Rendered
from gateway.api.openai import check_dimensions
from gateway.api.text import read_object, texts_of, vectors_of
from gateway.pipeline import Answer, Routes
from gateway.routing import Target
from model_service.protocol.errors import InvalidInput
from model_service.protocol.http import JSON, Headers
from model_service.protocol.messages import InferRequest, InferResponse
from model_service.protocol.tensors import bytes_tensor

Parameters = Mapping[str, Any]

_ENVELOPE: Final = ("inputs", "parameters", "options")


@dataclass(slots=True, frozen=True)
class Work:
    """What a task asks of the model, and what becomes of its answer; `parameters` are for the model."""

    texts: list[bytes]
    shape: Callable[[InferResponse], Any]
    parameters: dict[str, Any] = field(default_factory=dict)


class HuggingFace:
    """A Decode that knows the models, and so their tasks."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def __call__(self, path: Mapping[str, str], headers: Headers, body: bytes) -> Question:
        target = self._routes.table.model(path["model"]).resolve(None)
        asked = read_object(body)
        options = _object(asked, "options")
        # InferenceClient sends the parameters of feature extraction beside the inputs, all others in an object.
        beside = {name: value for name, value in asked.items() if name not in _ENVELOPE}
        work = _work(target, asked.get("inputs"), {**beside, **_object(asked, "parameters")})

        def render(answer: Answer) -> Rendered:
            return orjson.dumps(work.shape(answer.response)), [JSON]

        tensor = bytes_tensor(target.manifest.inputs[0].name, work.texts)
        return Question(
            InferRequest(target.model, target.version, [tensor], parameters=work.parameters),
            render,
            no_cache=not _flag(options, "use_cache", True),
            wait=_flag(options, "wait_for_model", False),
        )


def _work(target: Target, inputs: Any, parameters: Parameters) -> Work:
    match target.manifest.task:
        case "sentence-embedding" if isinstance(inputs, dict):
            return _similarity(inputs, parameters)
        case "sentence-embedding":
            return _features(target, inputs, parameters)
        case "text-classification":
            return _classification(target, inputs, parameters)
        case "token-classification":
            return _tokens(inputs, parameters)
        case "tensors" | "tabular":
            raise InvalidInput(f"model '{target.model}' takes tensors: POST /v2/models/{target.model}/infer")


def _features(target: Target, inputs: Any, parameters: Parameters) -> Work:
    """A vector for a text, a list of vectors for a list."""
    parameters = _given(parameters, "normalize", "truncate", "truncation_direction", "dimensions", "encoding_format")
    assert target.manifest.text is not None  # the manifest checks that text tasks have it
    _check_only(parameters, "normalize", target.manifest.text.normalize)
    _check_only(parameters, "encoding_format", "float")
    if str(parameters.get("truncation_direction", "right")).lower() != "right":
        raise InvalidInput("truncation_direction can only be 'right': long texts lose their end")
    check_dimensions(target, parameters.get("dimensions"))
    single = isinstance(inputs, str)

    def shape(response: InferResponse) -> Any:
        vectors = [vector.tolist() for vector in vectors_of(response.outputs[0])]
        return vectors[0] if single else vectors

    return Work(texts_of(inputs, "inputs"), shape, _passed(parameters, "truncate"))


def _similarity(inputs: dict[str, Any], parameters: Parameters) -> Work:
    """How near the source sentence is to each of the others: cosines."""
    _given(parameters)
    source, sentences = inputs.get("source_sentence"), inputs.get("sentences")
    if not isinstance(source, str) or not isinstance(sentences, list):
        raise InvalidInput("inputs must be text, or {'source_sentence': a string, 'sentences': a list of strings}")

    def shape(response: InferResponse) -> Any:
        first, *others = vectors_of(response.outputs[0])
        return [_cosine(first, other) for other in others]

    return Work(texts_of(source, "source_sentence") + texts_of(sentences, "sentences"), shape)


def _classification(target: Target, inputs: Any, parameters: Parameters) -> Work:
    """For each text the list of its labels with their scores; for one text too, as the API has it."""
    parameters = _given(parameters, "top_k", "function_to_apply")
    assert target.manifest.text is not None
    _check_only(parameters, "function_to_apply", target.manifest.text.activation)
    return Work(texts_of(inputs, "inputs"), _rows, _passed(parameters, "top_k"))


def _tokens(inputs: Any, parameters: Parameters) -> Work:
    """The entities of a text, or a list of them for each text of a list."""
    parameters = _given(parameters, "aggregation_strategy", "ignore_labels")
    ignored = parameters.get("ignore_labels", [])
    if not isinstance(ignored, list) or not all(isinstance(label, str) for label in ignored):
        raise InvalidInput("ignore_labels must be a list of strings")
    single = isinstance(inputs, str)

    def shape(response: InferResponse) -> Any:
        rows = _rows(response)
        if ignored:
            parsed = map(orjson.loads, response.outputs[0].elements())
            rows = [[entity for entity in row if _label(entity) not in ignored] for row in parsed]
        return rows[0] if single else rows

    return Work(texts_of(inputs, "inputs"), shape, _passed(parameters, "aggregation_strategy"))


def _rows(response: InferResponse) -> list[Any]:
    """The answer's rows, which are JSON already."""
    return [orjson.Fragment(row) for row in response.outputs[0].elements()]


def _label(entity: dict[str, Any]) -> str:
    label: str = entity.get("entity_group") or entity["entity"]
    return label


def _cosine(one: "array[float]", other: "array[float]") -> float:
    length = sqrt(sum(map(mul, one, one)) * sum(map(mul, other, other)))
    return sum(map(mul, one, other)) / length if length else 0.0


def _object(asked: dict[str, Any], name: str) -> dict[str, Any]:
    value = asked.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} must be an object")
    return value


def _flag(options: dict[str, Any], name: str, default: bool) -> bool:
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f"options.{name} must be true or false, not {value!r:.40}")
    return value


def _given(parameters: Parameters, *known: str) -> Parameters:
    """Those that are not null. Raises InvalidInput for one that is not `known`."""
    if unknown := sorted(parameters.keys() - set(known)):
        raise InvalidInput(f"unknown parameter '{unknown[0]}'; this task takes {', '.join(known) or 'none'}")
    return {name: value for name, value in parameters.items() if value is not None}


def _passed(parameters: Parameters, name: str) -> dict[str, Any]:
    return {name: parameters[name]} if name in parameters else {}


def _check_only(parameters: Parameters, name: str, own: Any) -> None:
    if (value := parameters.get(name, own)) != own:
        raise InvalidInput(f"this model's {name} is {orjson.dumps(own).decode()} and cannot be {value!r:.40}")
