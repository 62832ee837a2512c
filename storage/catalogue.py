"""The models as readers see them, kept in memory: the database is read again only once one of them has changed."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.manifest import Manifest
from storage.pointing import users
from storage.queries import WHOLE, find_proven
from storage.tables import Model, Revision, Version
from storage.views import DesiredVersion, ModelView


@dataclass(frozen=True, slots=True)
class Present:
    """The models as of a revision, and what of them workers should have loaded."""

    revision: int | None
    models: list[ModelView]
    desired: list[DesiredVersion]

    @property
    def files(self) -> set[str]:
        """The sha256 of every file that a version's manifest names."""
        return {file.sha256 for model in self.models for version in model.versions for file in version.manifest.files}


class Catalogue:
    """What this process has read of the models. Every method reads within a transaction of its caller's."""

    def __init__(self) -> None:
        self._manifests: dict[str, Manifest] = {}  # by digest: validating one takes longer than the query
        self._known: Present | None = None

    async def present(self, session: AsyncSession) -> Present:
        """All models, read only where one has changed: workers and gateways ask twice a second."""
        revision = await session.scalar(select(Revision.number))
        if self._known is None or self._known.revision != revision:
            rows = (await session.scalars(WHOLE.order_by(Model.name))).all()
            # What this reads is all there is, so manifests that are not among it are of no more use.
            manifests = await self.manifests_of(session, [version for row in rows for version in row.versions])
            proven = await find_proven(session)
            self._manifests = manifests
            self._known = Present(
                revision,
                [ModelView.of(row, manifests) for row in rows],
                [
                    DesiredVersion(version.id, row.name, version.number, version.digest, manifests[version.digest])
                    for row in rows
                    for version in row.versions
                    if row.enabled and version.failure is None and users(row, version.number, proven)
                ],
            )
        return self._known

    async def manifests_of(self, session: AsyncSession, versions: Iterable[Version]) -> dict[str, Manifest]:
        """The manifests of `versions` by digest; those not seen before are read in one query."""
        ids = {version.digest: version.id for version in versions}
        found = {digest: self._manifests[digest] for digest in ids if digest in self._manifests}
        if missing := [id_ for digest, id_ in ids.items() if digest not in found]:
            reading = select(Version.digest, Version.manifest).where(Version.id.in_(missing))
            for digest, manifest in await session.execute(reading):
                found[digest] = Manifest.model_validate(manifest)
            self._manifests |= found
        return found
