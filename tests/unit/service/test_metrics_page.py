import asyncio
import threading
from collections.abc import MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.metrics_page import PLACES, Collected, MetricsPage
from service.rate import Rate


class Counted(Collector):
    """Says how often it was asked."""

    asked = 0

    def collect(self) -> Any:
        self.asked += 1
        yield GaugeMetricFamily("asked", "How often.", value=self.asked)


class Reader:
    """Reads the page; with `reads` unset, not before it is."""

    def __init__(self, page: MetricsPage, *, waits: bool = False) -> None:
        self.reads = asyncio.Event()
        if not waits:
            self.reads.set()
        self.sent: list[MutableMapping[str, Any]] = []
        self.asking = asyncio.create_task(page({"type": "http", "headers": []}, self._receive, self._send))

    async def answer(self) -> tuple[int, bytes]:
        await self.asking
        return self.sent[0]["status"], b"".join(message["body"] for message in self.sent[1:])

    async def _receive(self) -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        await self.reads.wait()
        self.sent.append(message)


def pages(now: list[float]) -> tuple[Counted, MetricsPage]:
    counted, registry = Counted(), CollectorRegistry()
    registry.register(counted)
    counted.asked = 0  # registering it asks for its names

    async def collect() -> CollectorRegistry:
        return registry

    return counted, MetricsPage(collect, Rate(per_s=1, burst=2, clock=lambda: now[0]))


async def test_those_who_ask_too_often_share_what_was_told_last() -> None:
    now = [0.0]
    counted, page = pages(now)
    told = [(await Reader(page).answer())[1].splitlines()[-1] for _ in range(5)]
    assert told == [b"asked 1.0", b"asked 2.0", b"asked 2.0", b"asked 2.0", b"asked 2.0"]
    now[0] += 1
    assert (await Reader(page).answer())[1].splitlines()[-1] == b"asked 3.0"
    assert counted.asked == 3


async def test_those_who_do_not_read_what_they_asked_for_are_few() -> None:
    _, page = pages([0.0])
    waiting = [Reader(page, waits=True) for _ in range(PLACES)]
    await asyncio.sleep(0)
    status, body = await Reader(page).answer()
    assert status == 429
    assert str(PLACES).encode() in body
    for reader in waiting:
        reader.reads.set()
    assert {(await reader.answer())[0] for reader in waiting} == {200}
    assert (await Reader(page).answer())[0] == 200


async def test_others_have_their_turn_while_a_page_is_written() -> None:
    loop, others = asyncio.get_running_loop(), threading.Event()

    class Samples(list[Any]):
        def __iter__(self) -> Any:
            loop.call_soon_threadsafe(others.set)
            assert others.wait(2)
            return super().__iter__()

    metric = GaugeMetricFamily("many", "Of hundreds of models.", value=1)
    metric.samples = Samples(metric.samples)

    async def collect() -> Collected:
        return Collected([metric])

    status, page = await Reader(MetricsPage(collect)).answer()
    assert (status, b"many 1.0" in page) == (200, True)
