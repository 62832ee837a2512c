"""`python -m gateway`: the gateway process."""

import logging
import os
from contextlib import suppress

import uvicorn

from cache.settings import CacheSettings
from gateway.app import create_app
from gateway.parts import open_parts
from gateway.settings import GatewaySettings
from model_service.protocol import logs, server, tracing
from storage.settings import StorageSettings

DRAIN_S = 30
log = logging.getLogger("gateway")


def main() -> None:
    """Read the environment, once, and serve until SIGTERM or SIGINT."""
    logs.configure(logs.LogSettings())
    secrets = os.environ.get("HEADRACE_SECRETS_DIR")
    settings = GatewaySettings(_secrets_dir=secrets)
    storage, caching = StorageSettings(_secrets_dir=secrets), CacheSettings(_secrets_dir=secrets)
    tracer = tracing.open_tracer(tracing.TracingSettings(_secrets_dir=secrets), "headrace-gateway")
    app = create_app(open_parts(settings, storage, caching, tracer))
    listening = server.listen(settings.host, settings.port)
    gateway = uvicorn.Server(server.config(app, settings.host, settings.port, drain_s=DRAIN_S))
    server.leave_start_up_alone()
    log.info("gateway on %s", server.url_of(listening))
    with suppress(KeyboardInterrupt):
        gateway.run(sockets=[listening])
    if not gateway.started:
        raise SystemExit(f"the gateway could not start on {server.url_of(listening)}")


if __name__ == "__main__":
    main()
