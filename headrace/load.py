"""A closed-loop load: a fixed number of connections, each of which asks again as soon as it has its answer.

It speaks HTTP/1.1 itself, since a general client costs more per request than the gateway does. Good for a first look at
a model; what a platform bears under a given arrival rate is for `loadtests/`.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from urllib.parse import urlsplit

from headrace.errors import CommandError


@dataclass
class Measured:
    """`latencies` of the answers with status 200, in seconds; `refused` counts the others by status."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)
    last_refusal: bytes = b""

    def percentile(self, share: float) -> float:
        """The latency, in seconds, that `share` of the answers did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def encode(url: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A POST of `body`, which the headers describe, as it stands on the wire."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path.rstrip('/')}{path} HTTP/1.1",
        f"host: {parts.netloc}",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def run_closed_loop(url: str, requests: Sequence[bytes], *, connections: int, seconds: float) -> Measured:
    """Send `requests` round and round for `seconds`. Raises CommandError where a connection breaks."""
    measured = Measured()
    began = perf_counter()
    try:
        await asyncio.gather(*(_ask(url, requests, n, began + seconds, measured) for n in range(connections)))
    except (OSError, EOFError) as error:
        raise CommandError(
            f"the connection to {url} broke: {error}", "is it running? `headrace status` tells"
        ) from error
    measured.seconds = perf_counter() - began
    return measured


async def _ask(url: str, requests: Sequence[bytes], first: int, until: float, measured: Measured) -> None:
    parts = urlsplit(url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or (443 if secure else 80), ssl=secure)
    at = first
    try:
        while (began := perf_counter()) < until:
            writer.write(requests[at % len(requests)])
            at += 1
            status, body = await _read_response(reader)
            if status == 200:
                measured.latencies.append(perf_counter() - began)
            else:
                measured.refused[status] = measured.refused.get(status, 0) + 1
                measured.last_refusal = body
    finally:
        writer.close()
        with contextlib.suppress(OSError):  # broken already: what broke it is on its way up
            await writer.wait_closed()


async def _read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if not found:
        raise CommandError("the gateway answered without a content-length", "ask the gateway itself, not a proxy")
    body = await reader.readexactly(int(rest.partition(b"\r\n")[0]))
    return int(head[9:12]), body
