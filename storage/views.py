"""What the registry answers: plain values, detached from the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from storage import tables
from storage.manifest import Manifest


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version of a model. `failure` says why no worker will load it; None while it may be loaded."""

    id: int
    model: str
    number: int
    digest: str
    manifest: Manifest
    failure: str | None
    created_at: datetime

    @classmethod
    def of(cls, model: tables.Model, version: tables.Version, manifest: Manifest) -> Self:
        """The view of a row; `manifest` is the parsed one."""
        return cls(
            version.id, model.name, version.number, version.digest, manifest, version.failure, version.created_at
        )


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model: its versions by number, ascending, and what points at them.

    `aliases` maps a name to a version's number, `history` the same name to the numbers it had before, the latest last.
    `weights` maps a version's number (as a string) or an alias to its share of the model's unversioned requests.
    """

    name: str
    enabled: bool
    versions: tuple[VersionView, ...]
    aliases: dict[str, int]
    history: dict[str, tuple[int, ...]]
    weights: dict[str, float] | None

    def names(self, number: int) -> bool:
        """Whether an alias or a weight names that version."""
        return number in self.aliases.values() or str(number) in (self.weights or {})

    @classmethod
    def of(cls, model: tables.Model, manifests: Mapping[str, Manifest]) -> Self:
        """The view of a row with all that belongs to it; `manifests` holds the parsed ones by digest."""
        return cls(
            name=model.name,
            enabled=model.enabled,
            versions=tuple(VersionView.of(model, version, manifests[version.digest]) for version in model.versions),
            aliases={alias.name: alias.number for alias in model.aliases},
            history={alias.name: tuple(alias.history) for alias in model.aliases},
            weights=dict(model.route.weights) if model.route else None,
        )


@dataclass(frozen=True, slots=True)
class DesiredVersion:
    """A version that every worker should have loaded."""

    version_id: int
    model: str
    number: int
    digest: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class PassedTrial:
    """A trial load that passed. `alone` says why each request must run alone and whole; None where none need to."""

    alone: str | None


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """A worker, as of its last heartbeat. `beat` counts up: a replica whose `beat` stands still is gone.
    It is `settled` once it has tried to load all that served before it started.

    `versions` maps a version's id (as a string) to `{"state": ..., "reason": ...}`, as the worker wrote it. A version
    that is loaded again keeps the reason for which it failed. Where there is something to tell, it also has: `trial`,
    of one that loads for the first time; `timeouts`, how many trials in a row took too long; `lacking`, where
    its machine has not got what the version takes; `alone`, why requests must run alone, as its trial found out;
    `suspect`, how often its process has died, and of what; and the inputs `refused`.
    """

    id: str
    url: str
    settled: bool
    draining: bool
    beat: int
    seen_at: datetime
    versions: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, row: tables.Replica) -> Self:
        """The view of a row."""
        return cls(row.id, row.url, row.settled, row.draining, row.beat, row.seen_at, row.versions)


@dataclass(frozen=True, slots=True)
class EventView:
    """Something that was done to a model: when, what, by whom."""

    id: int
    at: datetime
    kind: str
    model: str
    actor: str
    data: dict[str, Any]

    @classmethod
    def of(cls, row: tables.Event) -> Self:
        """The view of a row."""
        return cls(row.id, row.at, row.kind, row.model, row.actor, row.data)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that routing needs, read in one transaction: models by name, and replicas by id."""

    models: list[ModelView]
    replicas: list[ReplicaView]
