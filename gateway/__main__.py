"""`python -m gateway`: the gateway process."""

import logging
import os
import socket
from contextlib import suppress

from cache.settings import CacheSettings
from gateway.app import create_app
from gateway.composition import compose
from gateway.serving import IDLE_S, GatewayServer, bind
from gateway.settings import GatewaySettings
from service import logs, server, tracing_settings
from service.limits import ConnectionLimits
from storage.settings import StorageSettings

DRAIN_S = 30
log = logging.getLogger("gateway")


def main() -> None:
    """Read the environment, once, and serve until SIGTERM or SIGINT."""
    logs.configure(logs.LogSettings())
    secrets = os.environ.get("HEADRACE_SECRETS_DIR")
    settings = GatewaySettings(_secrets_dir=secrets)
    storage, caching = StorageSettings(_secrets_dir=secrets), CacheSettings(_secrets_dir=secrets)
    tracer = tracing_settings.open_tracer(tracing_settings.TracingSettings(_secrets_dir=secrets), "headrace-gateway")
    components = compose(settings, storage, caching, tracer)
    app = create_app(components)
    shared = None if settings.listen_fd is None else socket.socket(fileno=settings.listen_fd)
    listening = shared or bind(settings.host, settings.port)
    limits = ConnectionLimits(per_address=settings.connections_per_address or None, proxies=settings.proxies)
    config = server.config(app, settings.host, settings.port, drain_s=DRAIN_S - int(IDLE_S), limits=limits)
    gateway = GatewayServer(config, components.membership, settings.start_timeout_s, shared, settings.accept_after_s)
    server.tame_garbage_collection()
    log.info("gateway on %s", server.url_of(listening))
    with suppress(KeyboardInterrupt):
        gateway.run(sockets=[listening])
    if not gateway.started and not gateway.should_exit:
        raise SystemExit(f"the gateway could not start on {server.url_of(listening)}")


if __name__ == "__main__":
    main()
