"""`python -m tests.watched gateway` or `model_service`: the process as it is, that also tells at `/stalled` for how
long its event loop has stood still since it was last asked, and its memory."""

import asyncio
import runpy
import sys
from pathlib import Path
from time import monotonic, process_time
from typing import Any

from service import server
from service.answers import send_json
from service.asgi import Receive, Scope, Send

TICK_S = 0.002


class Watched:
    """An application, and what its loop has come to."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._longest = 0.0
        self._watching: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._watching = asyncio.create_task(self._watch())
        if scope["type"] == "http" and scope["path"] == "/stalled":
            longest, self._longest = self._longest, 0.0
            return await send_json(send, {"seconds": longest, **_memory()})
        await self._app(scope, receive, send)
        return None

    async def _watch(self) -> None:
        before = monotonic(), process_time()
        while True:
            await asyncio.sleep(TICK_S)
            now = monotonic(), process_time()
            # Where others have the machine's cores, time goes by and this process does nothing: that is not its fault.
            self._longest = max(self._longest, min(now[0] - before[0] - TICK_S, now[1] - before[1]))
            before = now


def _memory() -> dict[str, int]:
    """Bytes that are resident now, and that were at most."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[key].split()[0]) * 1024 for name, key in (("rss", "VmRSS"), ("peak", "VmHWM"))}


def main() -> None:
    config = server.config
    server.config = lambda app, *args, **options: config(Watched(app), *args, **options)
    runpy.run_module(sys.argv[1], run_name="__main__")


if __name__ == "__main__":
    main()
