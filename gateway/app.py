"""The gateway's application: the hot path's ASGI objects first, then everything that may take its time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Route

from gateway.api import admin, bodies, errors, huggingface, meta, oip, oip_models, openai, openapi, repository
from gateway.api.endpoint import InferenceEndpoint
from gateway.api.guarded_router import MAX_JSON_BYTES
from gateway.api.question import Decode
from gateway.api.repeated_answers import RepeatedAnswers
from gateway.auth import admin_access
from gateway.composition import Components
from service.asgi import Receive, Scope, Send, headers_of, id_of
from service.fast_path import FastPathApplication
from service.metrics_page import MetricsPage
from service.origin import OriginCheck
from wire import headers as names
from wire.errors import ServingError, UnsupportedEncoding

# What `/openapi.json` says of the protocols whose routes stand in `_fast_path_routes`.
_DESCRIPTIONS: Final = (oip.describe, openai.describe, huggingface.describe)


class _Application(FastPathApplication, FastAPI):
    """FastAPI for everything but the hot path."""

    async def others(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await super().others(scope, receive, send)
        if scope["method"] == "HEAD" and "GET" in errors.methods(self, scope["path"]):
            scope, send = {**scope, "method": "GET"}, bodies.without_body(send)
        try:
            scope, receive = bodies.inflate(bodies.hide_length(scope), receive)
        except UnsupportedEncoding as error:
            return await self.refuse(scope, send, error)
        await super().others(scope, receive, send)

    async def refuse(self, scope: Scope, send: Send, error: ServingError) -> None:
        await errors.refuse(scope, send, error, [(names.REQUEST_ID, id_of(headers_of(scope)))])


def create_app(components: Components) -> FastAPI:
    """The whole application over these components; it closes them when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await components.siblings.open()
        membership = asyncio.create_task(components.membership.run())
        yield
        await components.siblings.close()
        membership.cancel()
        with suppress(asyncio.CancelledError):
            await membership
        components.client.close()
        await components.gateway.cache.close()
        await components.database.close()
        await asyncio.to_thread(components.tracer.close)

    app = _Application(
        title=meta.NAME,
        version=meta.release(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    errors.install(app)
    app.fast_path_routes = _fast_path_routes(components)
    # Once more, for other methods on their paths: a GET is told that it should be a POST.
    app.router.routes[:0] = [
        *app.fast_path_routes,
        Route("/metrics", MetricsPage(components.siblings.figures), methods=["GET"]),
    ]
    settings = components.settings
    app.origins = OriginCheck(settings.host, settings.hosts, settings.cors_origins)
    access = admin_access(settings.admin_token, settings.host)
    for router in (
        oip_models.router(components.membership, components.client, components.siblings),
        repository.router(components.membership, components.registry, access, settings.max_timeout_ms / 1000),
        openai.router(components.registry),
        admin.router(components.registry, components.artifacts, components.membership, access, settings.max_file_bytes),
        openapi.router(app.openapi, _DESCRIPTIONS, components.membership),
        meta.router(),
    ):
        app.include_router(
            router, dependencies=[Depends(_add_request_id)], max_body_size=min(MAX_JSON_BYTES, settings.max_body_bytes)
        )
    return app


def _fast_path_routes(components: Components) -> list[Route]:
    repeated = RepeatedAnswers(components.membership, components.gateway.cache)

    # Routes are matched one after the other: the most called come first.
    def route(path: str, protocol: str, decode: Decode) -> Route:
        endpoint = InferenceEndpoint(
            protocol,
            decode,
            components.gateway,
            metrics=components.metrics,
            requests=components.requests,
            limits=components.limits,
            repeated=repeated,
            tracer=components.tracer,
            route=path,
        )
        return Route(path, endpoint, methods=["POST"])

    json = components.settings.json_limits
    inference = oip.Inference(components.membership, json)
    return [
        route("/v2/models/{model}/infer", "oip", inference),
        route("/v2/models/{model}/versions/{version}/infer", "oip", inference),
        route("/v1/embeddings", "openai", openai.Embeddings(components.membership, json)),
        route("/models/{model}", "huggingface", huggingface.HuggingFace(components.membership, json)),
    ]


async def _add_request_id(request: Request, response: Response) -> None:
    response.headers["x-request-id"] = errors.request_id(request)


def _operation_id(route: APIRoute) -> str:
    return route.name
