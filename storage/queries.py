"""What several of the registry's methods ask of the database, each within a transaction of theirs."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from storage.errors import UnknownModel
from storage.model_name import NAME
from storage.tables import Event, Model, Numbering, Revision, Row, Trial, Version

UNIQUE_VIOLATION = "23505"  # PostgreSQL's

# A model with all that belongs to it, in four queries, however many models.
WHOLE = select(Model).options(selectinload(Model.versions), selectinload(Model.aliases), selectinload(Model.route))


async def find_model(session: AsyncSession, name: str, *, lock: bool = True) -> Model | None:
    """The model with all that belongs to it; None where there is none by that name."""
    # Until this transaction ends, nobody else changes a model that it has locked. SQLite locks the whole file at BEGIN.
    finding = WHOLE.where(Model.name == name).execution_options(populate_existing=True)
    return (await session.scalars(finding.with_for_update() if lock else finding)).one_or_none()


async def get_model(session: AsyncSession, name: str, *, lock: bool = True) -> Model:
    """The model with all that belongs to it. Raises UnknownModel, which names the models that there are."""
    # What could not be a name is not asked for: PostgreSQL refuses a NUL byte with an error of its own.
    model = await find_model(session, name, lock=lock) if NAME.fullmatch(name) else None
    if model is None:
        there = ", ".join(await session.scalars(select(Model.name).order_by(Model.name).limit(20)))
        raise UnknownModel(f"no model {name!r}; there is {there or 'none yet'}")
    return model


async def next_number(session: AsyncSession, model: Model) -> int:
    """The number for a new version of the model, whose row this transaction has locked or added."""
    # Whoever publishes under this name waits for us at the model's row, so that the next one reads what we write.
    numbering = await session.get(Numbering, model.name)
    if numbering is None:
        session.add(numbering := Numbering(name=model.name, last_version=0))
    numbering.last_version += 1
    return numbering.last_version


async def add_if_absent(session: AsyncSession, row: Row) -> None:
    """Add the row, unless there is one of its key."""
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        if not _takes_a_key(error):
            raise
        # Another process was faster.


async def find_proven(session: AsyncSession, model: Model | None = None) -> set[str]:
    """The digests of the versions, of this model or of all, that have passed a trial, whatever the runtime."""
    proven = select(Trial.digest).join(Version, Version.digest == Trial.digest).distinct()
    if model is not None:
        proven = proven.where(Version.model_id == model.id)
    return set(await session.scalars(proven))


async def record(session: AsyncSession, kind: str, model: str, actor: str, **data: Any) -> None:
    """Add an Event, and have readers find the models changed."""
    await reread(session)
    session.add(Event(kind=kind, model=model, actor=actor.replace("\0", "")[:128], data=data))


async def reread(session: AsyncSession) -> None:
    """Have readers find the models changed."""
    # The row stays locked until this transaction ends, so that revisions are seen in the order in which they are given.
    await session.execute(update(Revision).values(number=Revision.number + 1))


def _takes_a_key(error: IntegrityError) -> bool:
    return "UNIQUE constraint failed" in str(error.orig) or getattr(error.orig, "sqlstate", None) == UNIQUE_VIOLATION
