"""Ports, asked of the kernel before anything is started on one."""

import contextlib
import errno
import socket

from headrace.errors import CommandError


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def bind(host: str, port: int) -> socket.socket:
    """A socket for the gateways, bound there, on a free port where `port` is 0. It listens once they do.

    Raises CommandError, naming the port and the way out, where that cannot be.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with contextlib.ExitStack() as stack:
            bound = stack.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT is no listener
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(address)
            stack.pop_all()
            return bound
    except socket.gaierror as error:
        raise CommandError(f"{host} is no address: {error.strerror}", "choose another with --host") from error
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                raise CommandError(
                    f"port {port} of {host} is in use", f"stop what listens there, or choose another: --port {port + 1}"
                ) from error
            case errno.EACCES:
                raise CommandError(
                    f"port {port} needs rights that you do not have", "choose one from 1024 on with --port"
                ) from error
            case _:
                raise CommandError(
                    f"cannot listen on {host}:{port}: {error.strerror}", "choose another address with --host and --port"
                ) from error


def url_of(host: str, port: int) -> str:
    """How this machine's programs reach a gateway that listens on `host` and `port`."""
    match host:
        case "0.0.0.0" | "":
            return f"http://127.0.0.1:{port}"
        case "::":
            return f"http://[::1]:{port}"
        case _:
            return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
