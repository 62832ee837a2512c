"""`python -m model_service`: the worker process."""

import asyncio
import logging
import os
import signal
import socket
from contextlib import suppress
from types import FrameType
from typing import Any
from uuid import uuid4

import uvicorn
import uvloop

from model_service import memory
from model_service.app import create_app
from model_service.models import Models
from model_service.reconcile import Reconciler
from model_service.settings import WorkerSettings
from service import logs, server, tracing_settings
from service.limits import ConnectionLimits
from service.tracing import Tracer
from storage.artifacts import open_store
from storage.database import Database
from storage.registry import Registry
from storage.settings import StorageSettings

BODY_S = 60  # for a body, which a gateway has whole before it sends it
log = logging.getLogger("model_service")


class DrainingServer(server.Server):
    """Before it stops it reports that it drains, and serves on for a moment, so that gateways stop asking it."""

    def __init__(self, config: uvicorn.Config, reconciler: Reconciler, drain_s: float) -> None:
        super().__init__(config)
        self._reconciler = reconciler
        self._drain_s = drain_s
        self._draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._reconciler.draining:
            super().handle_exit(sig, frame)  # told twice: now
        else:
            self._reconciler.draining = True
            self._loop.call_soon_threadsafe(self._drain, sig)

    def _drain(self, sig: int) -> None:
        self._draining = asyncio.create_task(self._stop_later(sig))

    async def _stop_later(self, sig: int) -> None:
        await self._reconciler.drain()
        await asyncio.sleep(self._drain_s)
        super().handle_exit(sig, None)


async def serve(settings: WorkerSettings, storage: StorageSettings, tracer: Tracer) -> None:
    """Serve until SIGTERM or SIGINT."""
    listening = server.listen(settings.host, settings.port)
    port = listening.getsockname()[1]
    url = settings.url or server.url_of(listening)
    models = Models()
    database = Database.open(storage.database_url, timeout_s=settings.registry_timeout_s)
    reconciler = Reconciler(
        Registry(database),
        open_store(storage.artifacts_url),
        models,
        settings,
        replica_id=f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid4().hex[:8]}",
        url=url,
    )
    app = create_app(models, reconciler, settings, tracer)
    limits = ConnectionLimits(body_s=BODY_S)
    config = server.config(app, settings.host, port, drain_s=settings.stop_timeout_s, limits=limits)
    server.tame_garbage_collection()
    log.info("worker on %s", url)
    try:
        await DrainingServer(config, reconciler, settings.drain_s).serve([listening])
    finally:
        await database.close()


def main() -> None:
    """Read the environment, once, and serve."""
    memory.use_one_arena()
    logs.configure(logs.LogSettings())
    secrets = os.environ.get("HEADRACE_SECRETS_DIR")
    settings, storage = WorkerSettings(_secrets_dir=secrets), StorageSettings(_secrets_dir=secrets)
    tracer = tracing_settings.open_tracer(tracing_settings.TracingSettings(_secrets_dir=secrets), "headrace-worker")
    # uvicorn raises the signal again once it has stopped: a worker that was told to stop has not failed.
    signal.signal(signal.SIGTERM, _end)
    status: Any = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, suppress(KeyboardInterrupt):
            runner.run(serve(settings, storage, tracer))
    except SystemExit as ended:
        status = ended.code
    # All is closed. Python itself would still wait for a thread in which an engine hangs, for ever.
    logging.shutdown()
    os._exit(status or 0)


def _end(sig: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
