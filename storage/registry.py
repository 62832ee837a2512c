"""The registry: publish, promote, roll back, and what workers and gateways read."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage import deletions, heartbeats
from storage.catalogue import Catalogue
from storage.database import Database
from storage.errors import AliasInUse, VersionInUse
from storage.manifest import Manifest
from storage.model_name import NAME
from storage.pointing import alias_of, forget, point, point_back, route, unpoint, users, version_of
from storage.publishing import as_stored, check_files, check_new
from storage.queries import (
    add_if_absent,
    find_model,
    find_proven,
    get_model,
    next_number,
    record,
    reread,
)
from storage.tables import Event, Model, Revision, Trial, Version
from storage.views import DesiredVersion, EventView, ModelView, PassedTrial, ReplicaView, Snapshot, VersionView

STABLE = "stable"


class Registry:
    """What models exist, and what should run. Every method is one transaction; what changes a model adds an Event.

    Writers take turns, in whatever process they are. `actor` says who asked, for the events.
    All raise NotMigrated and Unavailable (see `Database.session`), and UnknownModel where they name a model.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._catalogue = Catalogue()

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
        already stays that version. `has`, the artifact store's, is asked for every file beforehand: nobody waits for
        the store but this caller, and what is deleted meanwhile is found out. Raises InvalidAlias, MissingFile, and
        InvalidArtifact for what may not be published (see `check_new`) or what JSON cannot hold.
        """
        check_new(manifest)
        digest, stored, manifest = as_stored(manifest)
        known: set[int] = set()
        if has is not None:
            async with self._database.session(read_only=True) as session:
                known = await deletions.find_finished(session, manifest)
            await check_files(manifest, has)
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
                    await deletions.check_none_since(session, manifest, known)
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

    async def remove_alias(self, model: str, alias: str, *, actor: str = "") -> None:
        """Take an alias away, with what it remembers; the version that it named stays registered.

        Raises UnknownAlias, and AliasInUse for one that the route names, and for `stable`: it answers who names no
        version, and with a route too once that is ended, or while none of its versions is loaded.
        """
        async with self._database.session() as session:
            row = await get_model(session, model)
            if alias == STABLE:
                number = alias_of(row, alias).number
                raise AliasInUse(
                    f"alias {alias!r} of {model!r} stays, as requests that name no version would have no answer without"
                    f" it: point it elsewhere than at version {number}, or remove the whole model"
                )
            number = unpoint(row, alias)
            await record(session, "alias-removed", model, actor, number=number, alias=alias)

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
        Raises UnknownVersion, and VersionInUse for a version that an alias or a route names, or that stands in for one.
        """
        async with self._database.session() as session:
            row = await get_model(session, model)
            if number is None:
                await session.delete(row)
            else:
                version = version_of(row, number)
                if in_use := ", ".join(users(row, number, await find_proven(session, row))):
                    raise VersionInUse(
                        f"version {number} of {model!r} is in use ({in_use}): point that elsewhere or remove it first"
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

    async def find_passed_trial(self, digest: str, runtime: str, processor: str) -> PassedTrial | None:
        """The trial in which the artifact was loaded under this runtime, on this kind of processor, and worked."""
        async with self._database.session(read_only=True) as session:
            trial = await session.get(Trial, (digest, runtime, processor))
            return None if trial is None else PassedTrial(trial.alone)

    async def remember_trial(self, digest: str, runtime: str, processor: str, alone: str | None = None) -> None:
        """Remember a trial that passed. `runtime` and `processor` are 128 characters long at most."""
        if alone is not None:
            alone = (
                alone.replace("\0", "").encode("utf-8", "replace").decode()
            )  # a graph may say what no database takes
        async with self._database.session() as session:
            await add_if_absent(session, Trial(digest=digest, runtime=runtime, processor=processor, alone=alone))
            await reread(session)  # what stood in for the version is of no more use

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
        async with self._database.session() as session:
            await heartbeats.beat(session, replica_id, url=url, versions=versions, settled=settled, draining=draining)

    async def forget(self, replica_id: str) -> None:
        """Drop a worker that has gone."""
        async with self._database.session() as session:
            await heartbeats.forget(session, replica_id)

    async def forget_stale(self, older_than_s: float) -> None:
        """Drop the workers whose last heartbeat is more than `older_than_s` seconds ago."""
        async with self._database.session() as session:
            await heartbeats.forget_stale(session, older_than_s)

    # Reading

    async def models(self) -> list[ModelView]:
        """Every model, by name."""
        async with self._database.session(read_only=True) as session:
            return (await self._catalogue.present(session)).models

    async def model(self, name: str) -> ModelView:
        """One model. Raises UnknownModel."""
        async with self._database.session(read_only=True) as session:
            row = await get_model(session, name, lock=False)
            return ModelView.of(row, await self._catalogue.manifests_of(session, row.versions))

    async def replicas(self) -> list[ReplicaView]:
        """Every worker that has sent a heartbeat and was not forgotten, by id."""
        async with self._database.session(read_only=True) as session:
            return await heartbeats.all_replicas(session)

    async def snapshot(self) -> Snapshot:
        """Models and replicas as of one moment; a handful of queries, however many there are."""
        async with self._database.session(read_only=True) as session:
            models = (await self._catalogue.present(session)).models
            return Snapshot(models=models, replicas=await heartbeats.all_replicas(session))

    async def list_desired(self) -> list[DesiredVersion]:
        """What every worker should have loaded: of enabled models, versions without a failure that an alias or a
        route names, or that stand in for one that failed or that no worker has loaded yet."""
        async with self._database.session(read_only=True) as session:
            return (await self._catalogue.present(session)).desired

    async def events(self, model: str | None = None, limit: int = 100) -> list[EventView]:
        """The latest `limit` events, of one model or of all, the latest first."""
        if model is not None and not NAME.fullmatch(model):
            return []
        latest = select(Event).order_by(Event.id.desc()).limit(limit)
        if model is not None:
            latest = latest.where(Event.model == model)
        async with self._database.session(read_only=True) as session:
            return [EventView.of(row) for row in await session.scalars(latest)]

    # Files that no version needs

    async def files_in_use(self) -> set[str]:
        """The sha256 of every file that a version's manifest names."""
        async with self._database.session(read_only=True) as session:
            return (await self._catalogue.present(session)).files

    async def begin_deletion(self, sha256: str) -> int | None:
        """Say that the file is about to be deleted, unless a version names it: what to hand to `end_deletion`."""
        async with self._database.session() as session:
            # Whoever publishes counts this row up, and so waits for us, or we for them.
            await session.execute(select(Revision).with_for_update())
            in_use = (await self._catalogue.present(session)).files
            return None if sha256 in in_use else await deletions.begin(session, sha256)

    async def end_deletion(self, id_: int) -> None:
        """Say that the file is gone. Until then, and for an hour if nobody says so, it can't be published."""
        async with self._database.session() as session:
            await deletions.finish(session, id_)

    async def forget_deletions(self) -> None:
        """Drop what is known of deletions that are long over."""
        async with self._database.session() as session:
            await deletions.forget_old(session)

    async def _view(self, session: AsyncSession, model: Model, version: Version) -> VersionView:
        return VersionView.of(model, version, (await self._catalogue.manifests_of(session, [version]))[version.digest])
