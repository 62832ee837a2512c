"""The worker's application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from model_service.metrics import prometheus_registry
from model_service.models import Models
from model_service.protocol.server import HotFirst
from model_service.protocol.tracing import UNTRACED, Tracer
from model_service.reconcile import Reconciler
from model_service.routes import infer_routes, routes
from model_service.settings import WorkerSettings


def create_app(
    models: Models, reconciler: Reconciler, settings: WorkerSettings, tracer: Tracer = UNTRACED
) -> Starlette:
    """Serves `models` while the reconciler, which runs as long as the application does, loads and unloads them."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        reconciling = asyncio.create_task(reconciler.run())
        yield
        reconciling.cancel()
        with suppress(asyncio.CancelledError):
            await reconciling
        await reconciler.close()
        await asyncio.to_thread(tracer.close)

    hot = infer_routes(models, settings.max_body_bytes, tracer)
    app = HotFirst(
        routes=[*hot, *routes(models, reconciler, prometheus_registry(models, reconciler))],
        lifespan=lifespan,
        exception_handlers={HTTPException: _refusal, Exception: _refusal},
    )
    app.hot = hot
    return app


async def _refusal(request: Any, error: Exception) -> JSONResponse:
    """What the routing itself refuses: no such path, no such method. Clients of the protocol expect this body."""
    if not isinstance(error, HTTPException):
        return JSONResponse({"error": "internal error"}, 500)
    what = {404: "there is nothing at this path", 405: "this path does not take that method"}
    return JSONResponse({"error": what.get(error.status_code, error.detail)}, error.status_code, error.headers)
