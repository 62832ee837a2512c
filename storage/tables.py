"""The registry's rows."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def now() -> datetime:
    """The present, in UTC. A time of day for people to read; nothing is measured with it."""
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """A time in UTC. SQLite forgets the time zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Row(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {dict[str, Any]: JSON, list[int]: JSON, datetime: Moment}


class Model(Row):
    """A name that clients call. A model that is not `enabled` keeps its versions, and no worker loads them."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=now)

    versions: Mapped[list["Version"]] = relationship(cascade="all, delete-orphan", order_by="Version.number")
    aliases: Mapped[list["Alias"]] = relationship(cascade="all, delete-orphan", order_by="Alias.name")
    route: Mapped["Route | None"] = relationship(cascade="all, delete-orphan")


class Version(Row):
    """One artifact under a model's name. `failure` says why no worker will load it; None while it may be loaded."""

    __tablename__ = "versions"
    # AUTOINCREMENT: workers report by id, so a removed version's id must never name another one.
    __table_args__ = (UniqueConstraint("model_id", "number"), Index(None, "digest"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    number: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    manifest: Mapped[dict[str, Any]] = mapped_column(deferred=True)  # large, and read once per digest
    failure: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Numbering(Row):
    """The last number given to a version under a model's name. It outlives the model: no number is given twice."""

    __tablename__ = "numbering"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    last_version: Mapped[int] = mapped_column(default=0)


class Alias(Row):
    """A movable pointer to a version. `history` holds the numbers it pointed to before, the latest last."""

    __tablename__ = "aliases"

    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int]
    history: Mapped[list[int]] = mapped_column(default=list)


class Route(Row):
    """How a model's unversioned requests are shared out: `weights` maps a version number or an alias to its share."""

    __tablename__ = "routes"

    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    weights: Mapped[dict[str, Any]]


class Event(Row):
    """What happened to the registry: who did what to which model, and when. Rows are only ever added."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    kind: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(128), index=True)
    actor: Mapped[str] = mapped_column(String(128), default="")
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Revision(Row):
    """One row, whose `number` counts up with each Event: a reader that knows it need not read the models again."""

    __tablename__ = "revisions"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]


class Replica(Row):
    """A running worker. `beat` counts up with each heartbeat, so that a reader needs no clock but its own.

    It is `settled` once it has tried to load all that served before it started, and says ready from then on.

    `versions` maps a version's id to `{"state": "loading" | "ready" | "failed" | "unloading", "reason": str | None}`,
    with `alone` where its trial found out that requests must run alone, and why.
    """

    __tablename__ = "replicas"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    url: Mapped[str] = mapped_column(String(256))
    settled: Mapped[bool] = mapped_column(default=True)
    draining: Mapped[bool] = mapped_column(default=False)
    beat: Mapped[int] = mapped_column(default=0)
    seen_at: Mapped[datetime] = mapped_column(default=now)
    versions: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Deletion(Row):
    """A file that is being deleted from the artifact store, or was: whoever saw it there before may not count on it."""

    __tablename__ = "deletions"
    # AUTOINCREMENT: a publication remembers by id which ones it knew of.
    __table_args__ = (Index(None, "sha256"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    began_at: Mapped[datetime] = mapped_column(default=func.now())
    finished: Mapped[bool] = mapped_column(default=False)


class Trial(Row):
    """A trial load that passed: this artifact, under this runtime, on this kind of processor.

    `alone` says why each request must run alone and whole; None where rows may run together as the manifest says.
    """

    __tablename__ = "trials"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    runtime: Mapped[str] = mapped_column(String(128), primary_key=True)
    processor: Mapped[str] = mapped_column(String(128), primary_key=True)
    alone: Mapped[str | None] = mapped_column(Text)
    passed_at: Mapped[datetime] = mapped_column(default=now)
