"""`/openapi.json`: FastAPI's description of its own routes, and inference, in general and typed for each model."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from gateway.api import schemas
from gateway.api.errors import MEANINGS
from gateway.api.schemas import Schema
from gateway.pipeline import Routes
from gateway.routing import DEFAULT_ALIAS, RouteTable
from storage.manifest import Manifest, TensorSpec

_STATUSES: Final = (400, 404, 413, 415, 429, 503, 504)
_BINARY: Final[Schema] = {"type": "string", "format": "binary"}
_JSON_LENGTH: Final = "Inference-Header-Content-Length"
_ABOUT_BINARY: Final = (
    "As `application/octet-stream`: the JSON, and behind it the bytes of those tensors that say `binary_data_size`; "
    f"the header `{_JSON_LENGTH}` says how many bytes are JSON."
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
    for name, pattern in names_in_code(models).items():
        paths |= _of_model(name, models[name], pattern, components)
    return {**own, "paths": paths, "components": {**own["components"], "schemas": components}}


def _of_model(name: str, manifest: Manifest, pattern: str, components: dict[str, Schema]) -> dict[str, Any]:
    """The paths of one model. The schemas of its bodies go into `components`."""

    def typed(what: str, schema: Schema) -> Schema:
        components[pattern.format(what)] = schema
        return _ref(pattern.format(what))

    request = response = None
    about = [manifest.description]
    if all(map(schemas.has_json_form, manifest.inputs)):
        request = typed("InferRequest", schemas.infer_request(manifest))
    else:
        about.append(_about_tensors("Takes", manifest.inputs))
    if any(map(schemas.has_json_form, manifest.outputs)):
        response = typed("InferResponse", schemas.infer_response(manifest))
    if not all(map(schemas.has_json_form, manifest.outputs)):
        about.append(_about_tensors("Answers", manifest.outputs))
    infer = _post(pattern.format("infer"), f"Ask {name}", "Models", request, response, about=about, binary=True)
    if manifest.text is None:
        return {f"/v2/models/{name}/infer": infer}
    task = _post(
        pattern.format("task"), f"{manifest.task} with {name}", "Models",
        typed("TaskRequest", schemas.task_request(manifest)), schemas.task_response(manifest),
        about=[manifest.description],
    )  # fmt: skip
    return {f"/v2/models/{name}/infer": infer, f"/models/{name}": task}


def names_in_code(models: Iterable[str]) -> dict[str, str]:
    """For each model a pattern of names, `model_minilm_{}`, that stay apart in the code of a generated client.

    Such clients replace or drop what is no letter or digit, and write some names in camel case: where two models would
    come out alike, theirs end with a digest of the model's name, which nothing else ends with.
    """
    words = {name: re.findall("[a-z0-9]+", name.lower()) for name in models}
    alike = Counter("".join(parts) for parts in words.values())
    patterns = {}
    for name, parts in words.items():
        patterns[name] = f"model_{'_'.join(parts)}_{{}}"
        if alike["".join(parts)] > 1:
            patterns[name] += f"_{sha256(name.encode()).hexdigest()[:8]}"
    return patterns


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
    request: Schema | None,
    response: Schema | None,
    path: Sequence[str] = (),
    *,
    about: Sequence[str] = (),
    binary: bool = False,
    error: str = "Error",
) -> dict[str, Any]:
    """A path whose POST takes and gives JSON, None where there is no such form, or, with `binary`, tensors as bytes."""
    parameters = [{"name": name, "in": "path", "required": True, "schema": schemas.STRING} for name in path]
    answered: dict[str, Any] = {"x-cache": {"schema": {"enum": ["hit", "miss", "bypass"]}}}
    if binary:
        length = {"description": "How many bytes of the body are JSON.", "schema": {"type": "integer", "minimum": 0}}
        parameters.append({"name": _JSON_LENGTH, "in": "header", "required": request is None, **length})
        answered[_JSON_LENGTH] = length
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "description": "\n\n".join(filter(None, [*about, _ABOUT_BINARY if binary else ""])),
            "tags": [tag],
            "parameters": parameters,
            "requestBody": {"required": True, "content": _contents(request, binary)},
            "responses": {
                "200": {"description": "The answer.", "headers": answered, "content": _contents(response, binary)},
                **{str(status): _refusal(status, error) for status in _STATUSES},
            },
        }
    }


def _contents(schema: Schema | None, binary: bool) -> dict[str, Any]:
    as_json = {"application/json": {"schema": schema}} if schema is not None else {}
    return as_json | ({"application/octet-stream": {"schema": _BINARY}} if binary else {})


def _about_tensors(verb: str, specs: Sequence[TensorSpec]) -> str:
    """What a schema cannot say of tensors that travel as bytes."""
    tensors = [f"`{spec.name}` {spec.datatype} {list(spec.shape)}" for spec in specs]
    return f"{verb} {', '.join(tensors)}. FP16 and BF16 have no JSON form, and must travel as bytes."


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
