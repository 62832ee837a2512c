"""The gateway's application: the hot path's ASGI objects first, then everything that may take its time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import Depends, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Route

from gateway.api import admin, errors, meta, oip, oip_models, openai, openapi, repository
from gateway.api.endpoint import Decode, InferenceEndpoint
from gateway.api.huggingface import HuggingFace
from gateway.auth import admin_access
from gateway.parts import Parts
from model_service.protocol.server import HotFirst


class _Application(HotFirst, FastAPI):
    """FastAPI for everything but the hot path."""


def create_app(parts: Parts) -> FastAPI:
    """The whole application over these parts; it closes them when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        membership = asyncio.create_task(parts.membership.run())
        yield
        membership.cancel()
        with suppress(asyncio.CancelledError):
            await membership
        parts.client.close()
        await parts.cache.close()
        await parts.database.close()
        await asyncio.to_thread(parts.tracer.close)

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
    app.hot = _hot_routes(parts)
    app.router.routes[:0] = app.hot  # for what else comes to their paths: a GET is told that it should be a POST
    settings = parts.settings
    access = admin_access(settings.admin_token, settings.host)
    for router in (
        oip_models.router(parts.membership, parts.client),
        repository.router(parts.membership, parts.registry, access, settings.max_timeout_ms / 1000),
        openai.router(parts.registry),
        admin.router(parts.registry, parts.artifacts, parts.membership, access, settings.max_file_bytes),
        openapi.router(app.openapi, parts.membership),
        meta.router(parts.metrics.registry),
    ):
        app.include_router(router, dependencies=[Depends(_identified)], max_body_size=settings.max_body_bytes)
    return app


def _hot_routes(parts: Parts) -> list[Route]:
    # Routes are matched one after the other: the most called come first.
    def route(path: str, protocol: str, decode: Decode) -> Route:
        endpoint = InferenceEndpoint(
            protocol, decode, parts.gateway, parts.metrics, parts.requests, parts.limits, parts.tracer, path
        )
        return Route(path, endpoint, methods=["POST"])

    return [
        route("/v2/models/{model}/infer", "oip", oip.decode),
        route("/v2/models/{model}/versions/{version}/infer", "oip", oip.decode),
        route("/v1/embeddings", "openai", openai.Embeddings(parts.membership)),
        route("/models/{model}", "huggingface", HuggingFace(parts.membership)),
    ]


async def _identified(request: Request, response: Response) -> None:
    response.headers["x-request-id"] = errors.request_id(request)


def _operation_id(route: APIRoute) -> str:
    return route.name
