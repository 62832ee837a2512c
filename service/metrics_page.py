"""`GET /metrics`, for Prometheus; asked more often, it answers from a copy."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from time import monotonic
from typing import Any, Final

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder

from service.answers import send_answer, send_error
from service.asgi import Receive, Scope, Send, headers_of
from service.cancel_scope import CancelScope, drop
from service.rate import Rate
from service.shared import Shared
from wire import headers as names
from wire.errors import ClientGone, DeadlineExceeded, TooManyRequests

PLACES: Final = 16  # answers being sent at once
TIMEOUT_S: Final = 10.0  # for the client to read one


class Collected:
    """Metrics that have been collected."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class MetricsPage:
    """An ASGI application.

    Rendering costs as much as many requests. So only the first few scrapes in a second collect anew; the others get the
    last page, which is a second old at most. `collect` returns a registry, or something like one.
    """

    def __init__(self, collect: Callable[[], Awaitable[Any]], rate: Rate | None = None) -> None:
        self._collect = collect
        self._rate = rate or Rate(per_s=1, burst=20)
        self._pages: dict[str, Shared[bytes]] = {}  # by content type
        self._answering = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._answering >= PLACES:
            error = TooManyRequests(f"{PLACES} are reading the metrics, which is the limit", retry_after=1)
            return await send_error(send, error)
        self._answering += 1
        try:
            with CancelScope(scope, monotonic() + TIMEOUT_S):
                content_type, page = await self._page(headers_of(scope).get(names.ACCEPT, b"").decode("latin-1"))
                await send_answer(send, page, [(names.CONTENT_TYPE, content_type.encode())])
        except DeadlineExceeded:
            await drop(scope)
        except ClientGone:
            pass
        finally:
            self._answering -= 1

    async def _page(self, accept: str) -> tuple[str, bytes]:
        # OpenMetrics for whoever takes it, as exemplars are in that alone.
        encode, content_type = choose_encoder(accept)
        page = self._pages.get(content_type)
        if page is None:
            page = self._pages[content_type] = Shared(partial(self._write, encode), self._rate)
        return content_type, await page.get()

    async def _write(self, encode: Callable[[Any], bytes]) -> bytes:
        collected = [*(await self._collect()).collect()]
        # In a thread, which others interrupt: of hundreds of models there is much to write.
        return await asyncio.to_thread(encode, Collected(collected))
