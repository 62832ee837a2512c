"""The gateway processes that share one port: each can answer for all of them.

They know each other by Unix sockets in one folder. Whoever is asked for metrics asks the others and adds up; whoever
reads the registry, or finds a worker ready, has the others do so before it goes by what it found, so that a client may
ask one process whether a model is ready and the next one for its answer.

Counters survive the process that counted: the others remember them, and the process that is started in its place begins
with them. So no counter ever falls, unless all processes die at once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from time import time
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry

from gateway.figures import Figures, add_up, keep_counters, metrics, read
from service.metrics_page import Collected

LIMIT_S: Final = 0.5  # for a sibling to answer; one that hangs is not waited for longer
_PATTERN: Final = "gateway-*.sock"
log = logging.getLogger(__name__)

# What a process said last, by the name of its socket: a number that grows, from one start to the next too, and figures.
Known = dict[str, tuple[float, Figures]]


class Siblings:
    """`socket` is where this process listens for its siblings; without one there are none. For a sibling that asks,
    `refresh` reads the registry once, and `check` checks the workers."""

    def __init__(
        self,
        socket: Path | None,
        registry: CollectorRegistry,
        refresh: Callable[[], Awaitable[None]],
        check: Callable[[], Awaitable[None]],
    ) -> None:
        self._socket = socket
        self._registry = registry
        self._acts = {"read": refresh, "check": check}
        self._known: Known = {}
        self._alive: set[str] = set()  # who answered when asked last
        self._before: Figures = []  # what earlier processes in this one's place counted
        self._numbers = count()
        self._started = time()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen for siblings, and take over the counters of the process that was here before."""
        if self._socket is None:
            return
        await self._exchange()
        if (mine := self._known.get(self._socket.name)) is not None:
            self._started = max(self._started, mine[0] + 1)
            self._before = keep_counters(mine[1])
        self._socket.unlink(missing_ok=True)  # of a process that was killed
        self._server = await asyncio.start_unix_server(self._serve, self._socket)

    async def close(self) -> None:
        """Stop listening; the siblings keep this process's counters."""
        if self._server is None or self._socket is None:
            return
        await self._exchange()
        self._server.close()
        self._socket.unlink(missing_ok=True)

    async def have_read(self) -> None:
        """Have the others read the registry, now."""
        if self._socket is not None:
            await self._ask({"act": "read"})

    async def check(self) -> None:
        """Have the others check the workers, now."""
        if self._socket is not None:
            await self._ask({"act": "check"})

    async def figures(self) -> Collected:
        """What all of them count, to be written as metrics."""
        if self._socket is None:
            return Collected(await asyncio.to_thread(lambda: [*self._registry.collect()]))
        await self._exchange()
        name = self._socket.name
        others = [
            figures if other in self._alive else keep_counters(figures)
            for other, (_, figures) in self._known.items()
            if other != name
        ]
        own = await self._own()
        return Collected(await asyncio.to_thread(lambda: metrics(add_up([own, *others]))))

    async def _exchange(self) -> None:
        # Both ways: what one has ever told somebody, all others know, and it is not forgotten when it dies.
        answers = await self._ask({"known": await self._knowledge()})
        self._alive = set(answers)
        for answer in answers.values():
            self._learn(answer["known"])

    async def _knowledge(self) -> Known:
        mine: Known = {}
        if self._socket is not None and self._server is not None:
            number = self._started + next(self._numbers) * 1e-6
            mine = {self._socket.name: (number, await self._own())}
        return {**self._known, **mine}

    async def _own(self) -> Figures:
        # In a thread, which others interrupt: of hundreds of models there is much to tell.
        return await asyncio.to_thread(lambda: add_up([read(self._registry), self._before]))

    def _learn(self, known: Known) -> None:
        for name, (number, figures) in known.items():
            before = self._known.get(name)
            if before is None or number > before[0]:
                self._known[name] = (number, figures)

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """The answers, by socket; none of those that are gone or hang."""
        assert self._socket is not None
        others = [path for path in self._socket.parent.glob(_PATTERN) if path != self._socket]
        said = orjson.dumps(question)
        answers = await asyncio.gather(*(_answer(path, said) for path in others))
        return {path.name: answer for path, answer in zip(others, answers, strict=True) if answer is not None}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                question = orjson.loads(await reader.read(-1))
                if "act" in question:
                    await self._acts[question["act"]]()
                    answer: dict[str, Any] = {}
                else:
                    self._learn(question["known"])
                    answer = {"known": await self._knowledge()}
                writer.write(orjson.dumps(answer))
                await writer.drain()
        except Exception as error:  # the registry may be away, which the other one finds as well
            log.debug("a sibling's question was not answered: %r", error)
        finally:
            writer.close()


async def _answer(path: Path, question: bytes) -> Any:
    with contextlib.suppress(OSError, TimeoutError, orjson.JSONDecodeError):
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(question)
                writer.write_eof()
                return orjson.loads(await reader.read(-1))
            finally:
                writer.close()
    return None
