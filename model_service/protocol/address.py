"""Where a worker, or a load balancer before the workers, answers: `http://host:port`."""

import re
from typing import Final

_URL: Final = re.compile(r"http://(?:\[([^\[\]/@\s]+)\]|([^\[\]/@:?#\s]+))(?::([0-9]{1,5}))?/?", re.ASCII)
_HIGHEST_PORT: Final = 65535


def address_of(url: str) -> tuple[str, int]:
    """Host and port of `http://host[:port]`, port 80 unless it says. ValueError for any other URL."""
    match = _URL.fullmatch(url)
    port = int(match[3] or 80) if match else 0
    if match is None or not 0 < port <= _HIGHEST_PORT:
        raise ValueError(f"{url!r} leads nowhere: write http://host:port, with a port from 1 to {_HIGHEST_PORT}")
    return match[1] or match[2], port
