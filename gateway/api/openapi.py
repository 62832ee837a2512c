"""`/openapi.json`: FastAPI's description of its own routes, and inference, in general and typed for each model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from gateway.api import schemas
from gateway.api.errors import MEANINGS
from gateway.api.schemas import Schema
from gateway.pipeline import Routes
from gateway.routing import DEFAULT_ALIAS, RouteTable
from storage.manifest import Manifest

_STATUSES: Final = (400, 404, 413, 415, 429, 503, 504)
_BINARY: Final[Schema] = {"type": "string", "format": "binary"}
_ABOUT_BINARY: Final = (
    "As `application/octet-stream`: the JSON, and behind it the bytes of those tensors that say `binary_data_size`; "
    "the header `Inference-Header-Content-Length` says how many bytes are JSON."
)


def router(own: Callable[[], dict[str, Any]], routes: Routes) -> APIRouter:
    """`own` gives FastAPI's description. The whole is made anew only when a model comes, goes or changes."""
    router = APIRouter(include_in_schema=False)
    made: tuple[dict[str, Manifest], bytes] | None = None

    @router.get("/openapi.json")
    async def openapi() -> Response:
        nonlocal made
        models = described(routes.table)
        if made is None or made[0] != models:
            made = models, orjson.dumps(describe(own(), models))
        return Response(made[1], media_type="application/json")

    return router


def described(table: RouteTable) -> dict[str, Manifest]:
    """The manifests that speak for the models: those of `stable`, or else of a version that answers."""
    manifests = {}
    for name, route in sorted(table.models.items()):
        target = route.versions.get(DEFAULT_ALIAS) or (route.shares[0][1] if route.shares else None)
        if target is not None:
            manifests[name] = target.manifest
    return manifests


def describe(own: dict[str, Any], models: Mapping[str, Manifest]) -> dict[str, Any]:
    """The whole description; `own` stays as it is."""
    paths = {path: {m: _honest(operation) for m, operation in item.items()} for path, item in own["paths"].items()}
    paths |= _general(models)
    components = {name: s for name, s in own["components"]["schemas"].items() if not name.endswith("ValidationError")}
    components |= {"InferRequest": schemas.INFER_REQUEST, "InferResponse": schemas.INFER_RESPONSE}
    for name, manifest in models.items():
        if schemas.have_json_form(manifest.inputs):
            components[f"{name}_InferRequest"] = schemas.infer_request(manifest)
            components[f"{name}_InferResponse"] = schemas.infer_response(manifest)
            paths[f"/v2/models/{name}/infer"] = _post(
                f"infer_{name}", f"Ask {name}", "Models",
                _ref(f"{name}_InferRequest"), _ref(f"{name}_InferResponse"), about=manifest.description, binary=True,
            )  # fmt: skip
        if manifest.text is not None:
            components[f"{name}_TaskRequest"] = schemas.task_request(manifest)
            paths[f"/models/{name}"] = _post(
                f"run_{name}", f"{manifest.task} with {name}", "Models",
                _ref(f"{name}_TaskRequest"), schemas.task_response(manifest), about=manifest.description,
            )  # fmt: skip
    return {**own, "paths": paths, "components": {**own["components"], "schemas": components}}


def _general(models: Mapping[str, Manifest]) -> dict[str, Any]:
    request, response = _ref("InferRequest"), _ref("InferResponse")
    embedding = [name for name, manifest in models.items() if manifest.task == "sentence-embedding"]
    tag = "Open Inference Protocol"
    return {
        "/v2/models/{model}/infer": _post(
            "infer", "Ask a model", tag, request, response, ("model",), binary=True
        ),
        "/v2/models/{model}/versions/{version}/infer": _post(
            "infer_version", "Ask a version", tag, request, response, ("model", "version"), binary=True
        ),
        "/v1/embeddings": _post(
            "embeddings", "Embed text", "OpenAI",
            schemas.embedding_request(embedding), schemas.EMBEDDING_RESPONSE, error="OpenAIError",
        ),
        "/models/{model}": _post(
            "run_task", "Run a text model's task", "Hugging Face", schemas.ANY_TASK_REQUEST, {}, ("model",)
        ),
    }  # fmt: skip


def _post(
    name: str,
    summary: str,
    tag: str,
    request: Schema,
    response: Schema,
    parameters: Sequence[str] = (),
    *,
    about: str = "",
    binary: bool = False,
    error: str = "Error",
) -> dict[str, Any]:
    """A path whose POST takes and gives JSON, or, with `binary`, tensors as bytes too."""
    also = {"application/octet-stream": {"schema": _BINARY}} if binary else {}
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "description": "\n\n".join(filter(None, [about, _ABOUT_BINARY if binary else ""])),
            "tags": [tag],
            "parameters": [{"name": p, "in": "path", "required": True, "schema": schemas.STRING} for p in parameters],
            "requestBody": {"required": True, "content": {"application/json": {"schema": request}, **also}},
            "responses": {
                "200": {
                    "description": "The answer.",
                    "headers": {"x-cache": {"schema": {"enum": ["hit", "miss", "bypass"]}}},
                    "content": {"application/json": {"schema": response}, **also},
                },
                **{str(status): _refusal(status, error) for status in _STATUSES},
            },
        }
    }


def _honest(operation: dict[str, Any]) -> dict[str, Any]:
    """FastAPI promises 422 for what does not validate; we answer 400, in our own shape."""
    responses = {status: response for status, response in operation["responses"].items() if status != "422"}
    if len(responses) < len(operation["responses"]):
        responses.setdefault("400", _refusal(400, "Error"))
    return {**operation, "responses": responses}


def _refusal(status: int, error: str) -> dict[str, Any]:
    return {"description": MEANINGS[status], "content": {"application/json": {"schema": _ref(error)}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
