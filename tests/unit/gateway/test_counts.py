from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway.counts import Counts, CountsCollector, VersionCounts, new_counts, read_counts
from gateway.siblings import Siblings
from service.tally import Tally


async def process(socket: Path | None) -> tuple[Counts, Siblings]:
    """A gateway process that counts, and those that it shares a port with."""
    counts, registry = new_counts(), CollectorRegistry()
    registry.register(CountsCollector(counts))

    async def look() -> None:
        """Reads no registry."""

    siblings = Siblings(socket, registry, look, look)
    await siblings.open()
    return counts, siblings


async def told(siblings: Siblings) -> Counts:
    return read_counts((await siblings.figures()).collect())


async def test_what_was_counted_is_read_back() -> None:
    counts, siblings = await process(None)
    assert await told(siblings) == {}
    counts["m", "1"].hits.add(0.5)
    counts["m", "1"].hits.add(0.25)
    counts["m", "1"].shared.add(4.0, 8)
    counts["m", "2"].misses.add(1.0)
    assert await told(siblings) == {
        ("m", "1"): VersionCounts(hits=Tally(2, 0.75), shared=Tally(8, 4.0)),
        ("m", "2"): VersionCounts(misses=Tally(1, 1.0)),
    }


async def test_gateways_that_share_a_port_count_together(tmp_path: Path) -> None:
    one, other = await process(tmp_path / "gateway-1.sock"), await process(tmp_path / "gateway-2.sock")
    one[0]["m", "1"].hits.add(0.5)
    other[0]["m", "1"].hits.add(0.25, 2)
    other[0]["n", "1"].misses.add(1.0)
    for _, siblings in (one, other):
        assert await told(siblings) == {
            ("m", "1"): VersionCounts(hits=Tally(3, 0.75)),
            ("n", "1"): VersionCounts(misses=Tally(1, 1.0)),
        }
    for _, siblings in (one, other):
        await siblings.close()
