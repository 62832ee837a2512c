"""Where a worker, or a load balancer before the workers, answers: `http://host:port`."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_URL: Final = re.compile(r"http://(?:\[([^\[\]/@\s]+)\]|([^\[\]/@:?#\s]+))(?::([0-9]{1,5}))?/?", re.ASCII)
_HIGHEST_PORT: Final = 65535


def address_of(url: str) -> tuple[str, int]:
    """Host and port of `http://host[:port]`, port 80 unless it says. ValueError for any other URL."""
    match = _URL.fullmatch(url)
    port = int(match[3] or 80) if match else 0
    if match is None or not 0 < port <= _HIGHEST_PORT:
        raise ValueError(f"{url!r} leads nowhere: write http://host:port, with a port from 1 to {_HIGHEST_PORT}")
    return match[1] or match[2], port


def _leads_somewhere(url: str | None) -> str | None:
    if url:
        address_of(url)
    return url


# A setting: unset, or a URL that `address_of` takes.
OptionalUrl = Annotated[str | None, AfterValidator(_leads_somewhere)]
