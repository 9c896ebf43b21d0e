"""The store's identity and the lease of its coordinator."""

from collections.abc import Sequence
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    lease = op.create_table(
        "lease",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_lease_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease")),
    )
    op.bulk_insert(lease, [{"id": 1, "store_id": uuid4().hex, "epoch": 0}])


def downgrade() -> None:
    op.drop_table("lease")
