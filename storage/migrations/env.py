"""What Alembic runs around every migration. `storage.migrate` hands in a connection whose transaction it owns."""

from typing import Any, Literal

from alembic import context

from storage.tables import Moment, Row


def render_item(kind: str, item: Any, _: object) -> str | Literal[False]:
    # A migration stands for itself: it keeps working when tables.py has moved on.
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Moment) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    render_item=render_item,
    render_as_batch=True,  # SQLite alters a table by copying it, which migrations written for both databases must say
)
with context.begin_transaction():
    context.run_migrations()
