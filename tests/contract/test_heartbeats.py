"""Which workers there are: each says so by its heartbeats, until it is forgotten."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from storage.database import Database
from storage.registry import Registry
from storage.tables import Replica


async def test_each_heartbeat_counts_up_and_replaces_what_the_last_one_said(registry: Registry) -> None:
    await registry.beat("w1", "http://127.0.0.1:1", {"1": {"state": "loading", "reason": None}})
    await registry.beat("w2", "http://127.0.0.1:2", {})
    await registry.beat("w1", "http://127.0.0.1:3", {"1": {"state": "ready", "reason": None}}, draining=True)
    first, second = await registry.replicas()
    assert (first.id, first.url, first.beat, first.draining) == ("w1", "http://127.0.0.1:3", 2, True)
    assert first.versions == {"1": {"state": "ready", "reason": None}}
    assert (second.id, second.beat, second.draining, second.versions) == ("w2", 1, False, {})
    assert abs(datetime.now(UTC) - first.seen_at) < timedelta(hours=1)


async def test_a_forgotten_replica_is_gone_and_may_come_back(registry: Registry) -> None:
    await registry.beat("w1", "http://127.0.0.1:1", {})
    await registry.forget("w1")
    await registry.forget("w1")
    assert await registry.replicas() == []
    await registry.beat("w1", "http://127.0.0.1:1", {})
    assert [replica.id for replica in await registry.replicas()] == ["w1"]


async def test_only_replicas_without_a_recent_heartbeat_are_forgotten_as_stale(
    registry: Registry, database: Database
) -> None:
    for name in ("old", "new"):
        await registry.beat(name, f"http://{name}", {})
    async with database.session() as session:
        long_ago = datetime.now(UTC) - timedelta(hours=2)
        await session.execute(update(Replica).where(Replica.id == "old").values(seen_at=long_ago))
    await registry.forget_stale(3600)
    assert [replica.id for replica in await registry.replicas()] == ["new"]
