"""OpenAI's API, as far as it goes over the models that are served: embeddings, and the list of models that embed."""

from array import array
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.admission import Admission
from gateway.api.errors import OpenAIError, error_responses
from gateway.api.json_answer import FEW_ROWS, check_expected
from gateway.api.operations import Described, DescribedModel, post
from gateway.api.question import Question, Rendered
from gateway.api.schemas import EMBEDDING_PARAMETERS, EMBEDDING_RESPONSE, embedding_request
from gateway.pipeline import Answer, RouteTableSource
from gateway.routing import DEFAULT_ALIAS, Target
from service.answers import JSON
from service.asgi import Headers
from service.bodies import Body
from service.turns import Breath
from storage.registry import Registry
from storage.views import ModelView, VersionView
from wire.errors import InvalidInput, ModelNotFound
from wire.json_body import DEFAULT, JsonLimits, check_answer, read_json
from wire.messages import InferRequest
from wire.quote import quote
from wire.tasks.table import task_named
from wire.tasks.text import texts_of
from wire.tasks.vectors import model_parameters, vectors_of
from wire.tensors import bytes_tensor

READERS: Final = 16  # requests that read the registry at once; others need it too

_OTHERWISE: Final = 'ask for it with "encoding_format": "base64", or for fewer inputs at a time'


class Embeddings:
    """`POST /v1/embeddings`: a Decode that knows the models."""

    def __init__(self, membership: RouteTableSource, limits: JsonLimits = DEFAULT) -> None:
        self._membership = membership
        self._limits = limits

    def __call__(self, path: Mapping[str, str], headers: Headers, body: Body) -> Question:
        asked = read_json(body, self._limits, "the body")
        _check_known(asked)
        target = self._target(asked.get("model"))
        texts = texts_of(asked.get("input"), "input")
        base64 = _is_base64(asked.get("encoding_format"))
        parameters = model_parameters(asked, target.manifest)
        tensor = bytes_tensor(target.manifest.inputs[0].name, texts)
        request = InferRequest(target.model, target.version, [tensor], parameters=parameters)
        if not base64 and len(texts) > FEW_ROWS:
            check_expected(request, target, self._limits, _OTHERWISE)

        def render(answer: Answer) -> Rendered:
            if not base64:
                check_answer(len(answer.response.outputs[0].data) // 4, 0, self._limits, _OTHERWISE)
            return _render(answer, base64)

        return Question(request, render)

    def _target(self, model: Any) -> Target:
        if not isinstance(model, str):
            raise InvalidInput("model must be a string: the name of an embedding model")
        target = self._membership.table.model(model).resolve(None)
        if not target.task.embeds:
            raise InvalidInput(f"model '{model}' does not embed text, it is for {target.task.name}")
        return target


def _check_known(asked: Mapping[str, Any]) -> None:
    # What would change the answer, as far as its sender knows, is not left out in silence.
    if unknown := [name for name in asked if name not in EMBEDDING_PARAMETERS and asked[name] is not None]:
        raise InvalidInput(f"unknown parameter '{unknown[0]:.80}'; this takes {', '.join(EMBEDDING_PARAMETERS)}")


def _is_base64(encoding: Any) -> bool:
    if encoding not in (None, "float", "base64"):
        raise InvalidInput(f"encoding_format must be 'float' or 'base64', not {quote(encoding)}")
    return bool(encoding == "base64")


def _render(answer: Answer, base64: bool) -> Rendered:
    response = answer.response
    vectors = vectors_of(response.outputs[0])
    tokens = response.parameters.get("prompt_tokens", 0)
    content = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if base64 else vector.tolist()}
            for index, vector in enumerate(vectors)
        ],
        "model": response.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return orjson.dumps(content), [JSON]


def _base64(vector: "array[float]") -> str:
    return b64encode(vector.tobytes()).decode()


def describe(models: Sequence[DescribedModel]) -> Described:
    """`/v1/embeddings`, for the models that embed."""
    request = embedding_request([model.name for model in models if model.task.embeds])
    path = post("embeddings", "Embed text", "OpenAI", request, EMBEDDING_RESPONSE, error="OpenAIError")
    return Described({"/v1/embeddings": path})


class Model(BaseModel):
    """A model that embeds; `created` counts seconds since the epoch."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "headrace"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model] = Field(description="The models that `/v1/embeddings` takes.")


def router(registry: Registry) -> APIRouter:
    """`/v1/models`."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])
    readers = Admission(READERS)

    @router.get("/models", summary="The models that embed text", responses=error_responses(429, 503, model=OpenAIError))
    async def openai_models() -> ModelList:
        breath = Breath()
        listed = []
        with readers:
            for model in await registry.models():
                if _embeds(model):
                    listed.append(_model(model))
                await breath()
        return ModelList(data=listed)

    @router.get(
        "/models/{model}",
        summary="A model that embeds text",
        responses=error_responses(400, 404, 429, 503, model=OpenAIError),
    )
    async def openai_model(model: str) -> Model:
        with readers:
            found = await registry.model(model)
        if not _embeds(found):
            raise ModelNotFound(f"model '{model}' does not embed text: ask for it under /v2/models/{model}")
        return _model(found)

    return router


def _embeds(model: ModelView) -> bool:
    described = _choose_version(model)
    return described is not None and task_named(described.manifest.task).embeds


def _choose_version(model: ModelView) -> VersionView | None:
    """The version that speaks for the model: `stable`, or else the latest."""
    number = model.aliases.get(DEFAULT_ALIAS)
    return next((v for v in model.versions if v.number == number), model.versions[-1] if model.versions else None)


def _model(model: ModelView) -> Model:
    first = min(version.created_at for version in model.versions)
    return Model(id=model.name, created=int(first.timestamp()))
