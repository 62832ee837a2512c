"""OpenAI's API, as far as it goes over the models that are served: embeddings, and the list of models that embed."""

from array import array
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.api.endpoint import Question, Rendered
from gateway.api.errors import OpenAIError, documented
from gateway.api.text import read_object, texts_of, vectors_of
from gateway.pipeline import Answer, Routes
from gateway.routing import DEFAULT_ALIAS, Target
from model_service.protocol.errors import InvalidInput, ModelNotFound
from model_service.protocol.http import JSON, Headers
from model_service.protocol.messages import InferRequest
from model_service.protocol.tensors import bytes_tensor
from storage.registry import Registry
from storage.views import ModelView, VersionView

EMBEDDING: Final = "sentence-embedding"


class Embeddings:
    """`POST /v1/embeddings`: a Decode that knows the models."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def __call__(self, path: Mapping[str, str], headers: Headers, body: bytes) -> Question:
        asked = read_object(body)
        target = self._target(asked.get("model"))
        texts = texts_of(asked.get("input"), "input")
        base64 = _is_base64(asked.get("encoding_format"))
        check_dimensions(target, asked.get("dimensions"))
        tensor = bytes_tensor(target.manifest.inputs[0].name, texts)
        return Question(InferRequest(target.model, target.version, [tensor]), lambda answer: _render(answer, base64))

    def _target(self, model: Any) -> Target:
        if not isinstance(model, str):
            raise InvalidInput("model must be a string: the name of an embedding model")
        target = self._routes.table.model(model).resolve(None)
        if target.manifest.task != EMBEDDING:
            raise InvalidInput(f"model '{model}' does not embed text, it is for {target.manifest.task}")
        return target


def check_dimensions(target: Target, dimensions: Any) -> None:
    """Raises InvalidInput unless `dimensions` is what the model has: few models are trained to have theirs cut."""
    own = target.manifest.outputs[0].shape[-1]
    if dimensions is not None and dimensions != own:
        raise InvalidInput(f"the vectors of model '{target.model}' have {own} dimensions and cannot be shortened")


def _is_base64(encoding: Any) -> bool:
    if encoding not in (None, "float", "base64"):
        raise InvalidInput(f"encoding_format must be 'float' or 'base64', not {encoding!r:.40}")
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

    @router.get("/models", summary="The models that embed text", responses=documented(503, model=OpenAIError))
    async def openai_models() -> ModelList:
        return ModelList(data=[_model(model) for model in await registry.models() if _embeds(model)])

    @router.get(
        "/models/{model}", summary="A model that embeds text", responses=documented(400, 404, 503, model=OpenAIError)
    )
    async def openai_model(model: str) -> Model:
        found = await registry.model(model)
        if not _embeds(found):
            raise ModelNotFound(f"model '{model}' does not embed text: ask for it under /v2/models/{model}")
        return _model(found)

    return router


def _embeds(model: ModelView) -> bool:
    described = _described(model)
    return described is not None and described.manifest.task == EMBEDDING


def _described(model: ModelView) -> VersionView | None:
    """The version that speaks for the model: `stable`, or else the latest."""
    number = model.aliases.get(DEFAULT_ALIAS)
    return next((v for v in model.versions if v.number == number), model.versions[-1] if model.versions else None)


def _model(model: ModelView) -> Model:
    first = min(version.created_at for version in model.versions)
    return Model(id=model.name, created=int(first.timestamp()))
