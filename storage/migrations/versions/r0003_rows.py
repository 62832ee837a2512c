"""Trials tell whether rows may run together. Those so far were not asked, so they are held again."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("DELETE FROM trials")
    op.add_column("trials", sa.Column("alone", sa.Text(), nullable=True))
