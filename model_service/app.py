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
from model_service.reconcile import Reconciler
from model_service.routes import Limits, infer_routes, routes
from model_service.settings import WorkerSettings
from service.budget import Budget
from service.fast_path import FastPathApplication
from service.memory import Trim
from service.origin import OriginCheck
from service.tracing import UNTRACED, Tracer


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

    limits = Limits(
        settings.max_body_bytes,
        settings.max_answer_bytes,
        settings.json_limits,
        Budget(settings.memory_bytes, on_ebb=Trim()),
    )
    inference = infer_routes(models, limits, tracer)
    app = FastPathApplication(
        routes=[*inference, *routes(models, reconciler, prometheus_registry(models, reconciler, limits.budget))],
        lifespan=lifespan,
        exception_handlers={HTTPException: _refusal, Exception: _refusal},
    )
    app.fast_path_routes = inference
    app.origins = OriginCheck(settings.host)
    return app


async def _refusal(request: Any, error: Exception) -> JSONResponse:
    """What the routing itself refuses: no such path, no such method. Clients of the protocol expect this body."""
    if not isinstance(error, HTTPException):
        return JSONResponse({"error": "internal error"}, 500)
    what = {404: "there is nothing at this path", 405: "this path does not take that method"}
    return JSONResponse({"error": what.get(error.status_code, error.detail)}, error.status_code, error.headers)
