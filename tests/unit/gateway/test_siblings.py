"""Gateways that share a port: what they count adds up, and none of it is lost with one that dies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.siblings import Siblings


class Process:
    """What a gateway process counts, and how it is told to look at the registry."""

    def __init__(self, socket: Path | None) -> None:
        registry = CollectorRegistry()
        self.requests = Counter("requests", "Asked.", ["model"], registry=registry)
        self.seconds = Histogram("seconds", "Took.", buckets=(1.0, 2.0), registry=registry)
        self.in_flight = Gauge("headrace_gateway_in_flight", "Now.", registry=registry)
        self.workers = Gauge("headrace_gateway_workers", "Seen by all.", registry=registry)
        self.looked = self.checked = 0
        self.siblings = Siblings(socket, registry, self._look, self._check)

    async def _look(self) -> None:
        self.looked += 1

    async def _check(self) -> None:
        self.checked += 1

    async def says(self, name: str) -> float:
        text = generate_latest(await self.siblings.figures()).decode()
        families = text_string_to_metric_families(text)
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    def die(self) -> None:
        """Without a word, as SIGKILL has it."""
        assert self.siblings._server is not None
        self.siblings._server.close()


Begin = Callable[[int], Awaitable[Process]]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    """Starts a process in the place of that number."""
    async with AsyncExitStack() as stack:

        async def beginning(number: int) -> Process:
            process = Process(tmp_path / f"gateway-{number}.sock")
            await process.siblings.open()
            stack.push_async_callback(process.siblings.close)
            return process

        yield beginning


async def test_counters_and_histograms_add_up_whoever_is_asked(begin: Begin) -> None:
    one, other = await begin(1), await begin(2)
    one.requests.labels("m").inc(3)
    other.requests.labels("m").inc(4)
    other.requests.labels("n").inc()
    one.seconds.observe(0.5)
    other.seconds.observe(1.5)
    for process in (one, other):
        assert await process.says("requests_total") == 8
        assert await process.says("seconds_count") == 2
        assert await process.says("seconds_sum") == 2


async def test_what_each_has_is_added_and_what_all_see_is_not(begin: Begin) -> None:
    one, other = await begin(1), await begin(2)
    for process, in_flight in ((one, 5), (other, 6)):
        process.in_flight.set(in_flight)
        process.workers.set(2)
    assert await one.says("headrace_gateway_in_flight") == 11
    assert await one.says("headrace_gateway_workers") == 2


async def test_what_was_counted_stays_when_its_process_dies_and_is_started_anew(begin: Begin) -> None:
    one, other = await begin(1), await begin(2)
    one.requests.labels("m").inc(3)
    other.requests.labels("m").inc(4)
    other.in_flight.set(9)
    assert await other.says("requests_total") == 7
    other.die()
    assert await one.says("requests_total") == 7
    assert await one.says("headrace_gateway_in_flight") == 0  # it serves nothing any more
    again = await begin(2)
    again.requests.labels("m").inc()
    for process in (one, again):
        assert await process.says("requests_total") == 8
    one.die()
    assert await again.says("requests_total") == 8


async def test_a_sibling_that_hangs_holds_nobody_up_for_long(begin: Begin, tmp_path: Path) -> None:
    one = await begin(1)
    one.requests.labels("m").inc(3)
    asked: list[asyncio.StreamWriter] = []
    hangs = await asyncio.start_unix_server(lambda reader, writer: asked.append(writer), tmp_path / "gateway-2.sock")
    try:
        async with asyncio.timeout(20):
            assert await one.says("requests_total") == 3
            await one.siblings.have_read()
    finally:
        hangs.close()
        for writer in asked:
            writer.close()


async def test_whoever_reads_the_registry_has_the_others_read_it(begin: Begin) -> None:
    one, other = await begin(1), await begin(2)
    await one.siblings.have_read()
    assert (one.looked, other.looked) == (0, 1)
    await one.siblings.check()
    assert (one.checked, other.checked) == (0, 1)


async def test_exemplars_travel(begin: Begin) -> None:
    one, other = await begin(1), await begin(2)
    other.seconds.observe(0.5, {"trace_id": "a" * 32})
    encode, _ = choose_encoder("application/openmetrics-text")
    assert 'trace_id="' + "a" * 32 in encode(await one.siblings.figures()).decode()


async def test_a_gateway_alone_tells_what_it_counts_itself() -> None:
    alone = Process(None)
    await alone.siblings.open()
    alone.requests.labels("m").inc(2)
    await alone.siblings.have_read()
    assert await alone.says("requests_total") == 2
    await alone.siblings.close()
