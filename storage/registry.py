"""The registry: publish, promote, roll back, and what workers and gateways read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import delete, func, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.errors import InvalidArtifact, MissingFile, VersionInUse
from storage.manifest import NAME, Manifest
from storage.pointing import forget, point, point_back, route, users, version_of
from storage.queries import WHOLE, add_if_absent, all_replicas, find_model, get_model, next_number, record
from storage.tables import Event, Model, Moment, Replica, Revision, Trial, Version
from storage.views import DesiredVersion, EventView, ModelView, ReplicaView, Snapshot, VersionView

STABLE = "stable"


@dataclass(frozen=True, slots=True)
class _Present:
    """The models as of a revision, and what of them workers should have loaded."""

    revision: int | None
    models: list[ModelView]
    desired: list[DesiredVersion]


class Registry:
    """What models exist, and what should run. Every method is one transaction; what changes a model adds an Event.

    Writers take turns, in whatever process they are. `actor` says who asked, for the events.
    All raise NotMigrated and Unavailable (see `Database.session`), and UnknownModel where they name a model.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._manifests: dict[str, Manifest] = {}  # by digest: validating one takes longer than the query
        self._known: _Present | None = None

    # Changing what is served

    async def publish(
        self,
        manifest: Manifest,
        *,
        alias: str | None = None,
        actor: str = "",
        has: Callable[[str], Awaitable[bool]] | None = None,
    ) -> VersionView:
        """Make `manifest` the next version of the model that it names, and point `alias` at it.

        A model's first version becomes `stable` unless an alias is named. A manifest that is a version of the model
        already stays that version. `has`, the artifact store's, is asked for every file of a new version while nobody
        can delete one (see `files_in_use`). Raises InvalidAlias, MissingFile, and InvalidArtifact for what JSON cannot
        hold.
        """
        digest, stored, manifest = _as_stored(manifest)
        async with self._database.session() as session:
            model = await find_model(session, manifest.name)
            while model is None:
                await add_if_absent(session, Model(name=manifest.name))
                model = await find_model(session, manifest.name)
            version = next((version for version in model.versions if version.digest == digest), None)
            if version is None:
                if not model.versions:
                    alias = alias or STABLE
                version = Version(number=await next_number(session, model), digest=digest, manifest=stored)
                model.versions.append(version)
                await record(session, "published", model.name, actor, number=version.number, digest=digest)
                if has is not None:
                    await _check_files(manifest, has)
            if alias is not None and point(model, alias, version.number):
                await record(session, "promoted", model.name, actor, number=version.number, alias=alias)
            await session.flush()
            return VersionView.of(model, version, manifest)

    async def promote(self, model: str, number: int | str, *, alias: str = STABLE, actor: str = "") -> VersionView:
        """Point `alias` at a version, given by its number or by an alias of its own; nothing if it is there already.

        Raises UnknownVersion, UnknownAlias, InvalidAlias.
        """
        async with self._database.session() as session:
            row = await get_model(session, model)
            version = version_of(row, number)
            if point(row, alias, version.number):
                await record(session, "promoted", model, actor, number=version.number, alias=alias)
            return await self._view(session, row, version)

    async def rollback(self, model: str, *, alias: str = STABLE, actor: str = "") -> VersionView:
        """Point `alias` back at the version that it had before; each call goes one further back.

        Raises UnknownAlias, NothingToRollBackTo.
        """
        async with self._database.session() as session:
            row = await get_model(session, model)
            number = point_back(row, alias).number
            await record(session, "rolled-back", model, actor, number=number, alias=alias)
            return await self._view(session, row, version_of(row, number))

    async def set_route(self, model: str, weights: dict[str, float] | None, *, actor: str = "") -> None:
        """Share the model's unversioned requests out among versions and aliases; None: all go to `stable`.

        Raises InvalidRoute, UnknownVersion, UnknownAlias.
        """
        async with self._database.session() as session:
            row = await get_model(session, model)
            route(row, weights)
            await record(session, "routed", model, actor, weights=weights)

    async def set_enabled(self, model: str, enabled: bool, *, actor: str = "") -> None:
        """Have workers load the model's versions, or unload them all."""
        async with self._database.session() as session:
            row = await get_model(session, model)
            if row.enabled != enabled:
                row.enabled = enabled
                await record(session, "enabled" if enabled else "disabled", model, actor)

    async def remove(self, model: str, number: int | None = None, *, actor: str = "") -> None:
        """Forget a version, or the whole model; its events and files stay.

        A number is never given again under the model's name, not even to a model that is made anew.
        Raises UnknownVersion, and VersionInUse for a version that an alias or a route names.
        """
        async with self._database.session() as session:
            row = await get_model(session, model)
            if number is None:
                await session.delete(row)
            else:
                version = version_of(row, number)
                if in_use := ", ".join(users(row, number)):
                    raise VersionInUse(
                        f"version {number} of {model!r} is in use ({in_use}): point that elsewhere first"
                    )
                forget(row, version)
            await record(session, "removed", model, actor, number=number)

    # What workers found out about versions

    async def mark_failed(self, version_id: int, reason: str) -> None:
        """Have no worker load the version until `retry`. The first reason stays; nothing if the version is gone."""
        # A crash may print what has no place in a database's text: NUL bytes, and what is not UTF-8.
        reason = reason.replace("\0", "").encode("utf-8", "replace").decode()
        async with self._database.session() as session:
            failing = update(Version).where(Version.id == version_id, Version.failure.is_(None))
            failed = failing.values(failure=reason).returning(Version.model_id, Version.number)
            for model_id, number in await session.execute(failed):
                name = await session.scalar(select(Model.name).where(Model.id == model_id))
                await record(session, "failed", str(name), "", number=number, reason=reason)

    async def retry(self, model: str, number: int, *, actor: str = "") -> VersionView:
        """Have workers try a failed version again. Raises UnknownVersion."""
        async with self._database.session() as session:
            row = await get_model(session, model)
            version = version_of(row, number)
            if version.failure is not None:
                version.failure = None
                await record(session, "retried", model, actor, number=number)
            return await self._view(session, row, version)

    async def trial_passed(self, digest: str, runtime: str, processor: str) -> bool:
        """Whether the artifact was loaded in a trial under this runtime, on this kind of processor, and worked."""
        async with self._database.session(read_only=True) as session:
            return await session.get(Trial, (digest, runtime, processor)) is not None

    async def remember_trial(self, digest: str, runtime: str, processor: str) -> None:
        """Remember a trial that passed. `runtime` and `processor` are 128 characters long at most."""
        async with self._database.session() as session:
            await add_if_absent(session, Trial(digest=digest, runtime=runtime, processor=processor))

    # Replicas

    async def beat(
        self,
        replica_id: str,
        url: str,
        versions: dict[str, dict[str, Any]],
        *,
        settled: bool = True,
        draining: bool = False,
    ) -> None:
        """A worker's heartbeat: where it answers, and the state of each version on it (see ReplicaView)."""
        # The database's clock, so that replicas on machines whose clocks differ can be compared.
        values = {"url": url, "versions": versions, "settled": settled, "draining": draining, "seen_at": func.now()}
        async with self._database.session() as session:
            beating = update(Replica).where(Replica.id == replica_id).values(beat=Replica.beat + 1, **values)
            if not (await session.execute(beating.returning(Replica.id))).all():
                session.add(Replica(id=replica_id, beat=1, **values))

    async def forget(self, replica_id: str) -> None:
        """Drop a worker that has gone."""
        async with self._database.session() as session:
            await session.execute(delete(Replica).where(Replica.id == replica_id))

    async def forget_stale(self, older_than_s: float) -> None:
        """Drop the workers whose last heartbeat is more than `older_than_s` seconds ago."""
        async with self._database.session() as session:
            now = (await session.execute(select(type_coerce(func.now(), Moment)))).scalar_one()
            await session.execute(delete(Replica).where(Replica.seen_at < now - timedelta(seconds=older_than_s)))

    # Reading

    async def models(self) -> list[ModelView]:
        """Every model, by name."""
        async with self._database.session(read_only=True) as session:
            return (await self._present(session)).models

    async def model(self, name: str) -> ModelView:
        """One model. Raises UnknownModel."""
        async with self._database.session(read_only=True) as session:
            row = await get_model(session, name, lock=False)
            return ModelView.of(row, await self._manifests_of(session, row.versions))

    async def replicas(self) -> list[ReplicaView]:
        """Every worker that has sent a heartbeat and was not forgotten, by id."""
        async with self._database.session(read_only=True) as session:
            return await all_replicas(session)

    async def snapshot(self) -> Snapshot:
        """Models and replicas as of one moment; a handful of queries, however many there are."""
        async with self._database.session(read_only=True) as session:
            return Snapshot(models=(await self._present(session)).models, replicas=await all_replicas(session))

    async def desired(self) -> list[DesiredVersion]:
        """What every worker should have loaded: of enabled models, versions without a failure that an alias or a
        route names, or that stand in for one that failed."""
        async with self._database.session(read_only=True) as session:
            return (await self._present(session)).desired

    @asynccontextmanager
    async def files_in_use(self) -> AsyncIterator[set[str]]:
        """The sha256 of every file that a version's manifest names. Nothing is published until the block ends."""
        async with self._database.session() as session:
            # Whoever publishes counts this row up, and so waits for us, or we for them.
            await session.execute(select(Revision).with_for_update())
            models = (await self._present(session)).models
            yield {file.sha256 for model in models for version in model.versions for file in version.manifest.files}

    async def events(self, model: str | None = None, limit: int = 100) -> list[EventView]:
        """The latest `limit` events, of one model or of all, the latest first."""
        if model is not None and not NAME.fullmatch(model):
            return []
        latest = select(Event).order_by(Event.id.desc()).limit(limit)
        if model is not None:
            latest = latest.where(Event.model == model)
        async with self._database.session(read_only=True) as session:
            return [EventView.of(row) for row in await session.scalars(latest)]

    async def _present(self, session: AsyncSession) -> "_Present":
        """All models, read only where one has changed: workers and gateways ask twice a second."""
        revision = await session.scalar(select(Revision.number))
        if self._known is None or self._known.revision != revision:
            rows = (await session.scalars(WHOLE.order_by(Model.name))).all()
            # What this reads is all there is, so manifests that are not among it are of no more use.
            manifests = await self._manifests_of(session, [version for row in rows for version in row.versions])
            self._manifests = manifests
            self._known = _Present(
                revision,
                [ModelView.of(row, manifests) for row in rows],
                [
                    DesiredVersion(version.id, row.name, version.number, version.digest, manifests[version.digest])
                    for row in rows
                    for version in row.versions
                    if row.enabled and version.failure is None and users(row, version.number)
                ],
            )
        return self._known

    async def _view(self, session: AsyncSession, model: Model, version: Version) -> VersionView:
        return VersionView.of(model, version, (await self._manifests_of(session, [version]))[version.digest])

    async def _manifests_of(self, session: AsyncSession, versions: Iterable[Version]) -> dict[str, Manifest]:
        """The manifests of `versions` by digest; those not seen before are read in one query."""
        ids = {version.digest: version.id for version in versions}
        found = {digest: self._manifests[digest] for digest in ids if digest in self._manifests}
        if missing := [id_ for digest, id_ in ids.items() if digest not in found]:
            reading = select(Version.digest, Version.manifest).where(Version.id.in_(missing))
            for digest, manifest in await session.execute(reading):
                found[digest] = Manifest.model_validate(manifest)
            self._manifests |= found
        return found


def _as_stored(manifest: Manifest) -> tuple[str, dict[str, Any], Manifest]:
    """The manifest's digest, the JSON that is stored, and the manifest that every process will read from that."""
    try:
        stored = orjson.loads(orjson.dumps(manifest.model_dump(mode="json")))
        return manifest.digest, stored, Manifest.model_validate(stored)
    except (TypeError, ValueError) as error:
        raise InvalidArtifact(f"the manifest holds what JSON cannot: {error}") from error


async def _check_files(manifest: Manifest, has: Callable[[str], Awaitable[bool]]) -> None:
    if missing := [f"{file.path} ({file.sha256})" for file in manifest.files if not await has(file.sha256)]:
        raise MissingFile(f"upload these files first, PUT /admin/files/<sha256>: {', '.join(missing)}")
