"""Heartbeats: which workers there are, and what each says of itself. Each function is within a caller's transaction."""

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.tables import Moment, Replica
from storage.views import ReplicaView


async def beat(session: AsyncSession, replica_id: str, **values: Any) -> None:
    """Write what a worker says of itself, in place of what it said before."""
    # The database's clock, so that replicas on machines whose clocks differ can be compared.
    values = {**values, "seen_at": func.now()}
    beating = update(Replica).where(Replica.id == replica_id).values(beat=Replica.beat + 1, **values)
    if not (await session.execute(beating.returning(Replica.id))).all():
        session.add(Replica(id=replica_id, beat=1, **values))


async def all_replicas(session: AsyncSession) -> list[ReplicaView]:
    """Every worker that the registry knows, by id."""
    return [ReplicaView.of(row) for row in await session.scalars(select(Replica).order_by(Replica.id))]


async def forget(session: AsyncSession, replica_id: str) -> None:
    """Drop a worker that has gone."""
    await session.execute(delete(Replica).where(Replica.id == replica_id))


async def forget_stale(session: AsyncSession, older_than_s: float) -> None:
    """Drop the workers whose last heartbeat is more than `older_than_s` seconds ago."""
    now = (await session.execute(select(type_coerce(func.now(), Moment)))).scalar_one()
    await session.execute(delete(Replica).where(Replica.seen_at < now - timedelta(seconds=older_than_s)))
