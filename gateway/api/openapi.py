"""`/openapi.json`: FastAPI's description of its own routes, and inference as each protocol describes its own."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from gateway.api.operations import Describe, DescribedModel, refusal
from gateway.pipeline import RouteTableSource
from gateway.routing import DEFAULT_ALIAS, RouteTable
from service.shared import Shared
from storage.manifest import Manifest


def router(own: Callable[[], dict[str, Any]], protocols: Sequence[Describe], routes: RouteTableSource) -> APIRouter:
    """`own` gives FastAPI's description. The whole is made anew only when a model comes, goes or changes."""
    router = APIRouter(include_in_schema=False)
    made: tuple[dict[str, Manifest], bytes] | None = None

    async def make() -> bytes:
        nonlocal made
        models = choose_manifests(routes.table)
        if made is None or made[0] != models:
            # In a thread, which others interrupt: over hundreds of models it takes long.
            made = models, await asyncio.to_thread(lambda: orjson.dumps(describe(own(), protocols, models)))
        return made[1]

    shared = Shared(make)

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return Response(await shared.get(), media_type="application/json")

    return router


def choose_manifests(table: RouteTable) -> dict[str, Manifest]:
    """The manifests that speak for the models: those of `stable`, or else of a version that answers."""
    manifests = {}
    for name, route in sorted(table.models.items()):
        target = route.versions.get(DEFAULT_ALIAS) or (route.shares[0][1] if route.shares else None)
        if target is not None:
            manifests[name] = target.manifest
    return manifests


def describe(own: dict[str, Any], protocols: Sequence[Describe], models: Mapping[str, Manifest]) -> dict[str, Any]:
    """The whole description; `own` stays as it is."""
    in_code = names_in_code(models)
    told = [DescribedModel(name, manifest, in_code[name]) for name, manifest in models.items()]
    paths = {path: {m: _honest(operation) for m, operation in item.items()} for path, item in own["paths"].items()}
    components = {
        name: _plain(schema)
        for name, schema in own["components"]["schemas"].items()
        if not name.endswith("ValidationError")
    }
    parts = [protocol(told) for protocol in protocols]
    for part in parts:
        paths |= part.paths
        components |= part.schemas
    for part in parts:
        paths |= part.of_models
    return {**own, "paths": paths, "components": {**own["components"], "schemas": components}}


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


def _honest(operation: dict[str, Any]) -> dict[str, Any]:
    """FastAPI promises 422 for what does not validate; we answer 400, in our own shape."""
    responses = {status: response for status, response in operation["responses"].items() if status != "422"}
    if len(responses) < len(operation["responses"]):
        responses.setdefault("400", refusal(400, "Error"))
    return {**operation, "responses": responses}


def _plain(schema: Any) -> Any:
    """Without the defaults that are objects or lists: in Go a generated client would not compile."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {key: _plain(one) for key, one in part.items()} if name == "properties" else _plain(part)
        for name, part in schema.items()
        if name != "default" or not isinstance(part, dict | list)
    }
