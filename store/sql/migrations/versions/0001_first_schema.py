"""First schema."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    _create_dataset()
    _create_provider()
    _create_diagnostic()
    _create_execution_group()
    _create_execution()
    _create_execution_dataset()
    _create_execution_output()
    _create_scalar_value()
    _create_series_value()


def downgrade() -> None:
    for table in (
        "series_value",
        "scalar_value",
        "execution_output",
        "execution_dataset",
        "execution",
        "execution_group",
        "diagnostic",
        "provider",
        "dataset",
    ):
        op.drop_table(table)


def _create_dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("facets", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("files", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("instance_id", "fingerprint", name=op.f("uq_dataset_instance_id_fingerprint")),
    )


def _create_provider() -> None:
    op.create_table(
        "provider",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider")),
        sa.UniqueConstraint("slug", name=op.f("uq_provider_slug")),
    )


def _create_diagnostic() -> None:
    op.create_table(
        "diagnostic",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("provider_id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["provider_id"], ["provider.id"], name=op.f("fk_diagnostic_provider_id_provider")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_diagnostic")),
        sa.UniqueConstraint("provider_id", "slug", name=op.f("uq_diagnostic_provider_id_slug")),
    )


def _create_execution_group() -> None:
    op.create_table(
        "execution_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("diagnostic_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("selectors", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["diagnostic_id"], ["diagnostic.id"], name=op.f("fk_execution_group_diagnostic_id_diagnostic")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution_group")),
        sa.UniqueConstraint("diagnostic_id", "key", name=op.f("uq_execution_group_diagnostic_id_key")),
    )


def _create_execution() -> None:
    op.create_table(
        "execution",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("fragment", sa.Text(), nullable=False),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("provider_version", sa.Text(), nullable=False),
        sa.Column("diagnostic_version", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("replaces_id", sa.Integer(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("transport", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_memory_mb", sa.Integer(), nullable=False),
        sa.Column("asked_cpu", sa.Integer(), nullable=False),
        sa.Column("asked_wall_clock_seconds", sa.Double(), nullable=False),
        sa.Column("asked_queue", sa.Text(), nullable=True),
        sa.Column("successful", sa.Boolean(), nullable=True),
        sa.Column("retryable", sa.Boolean(), nullable=True),
        sa.Column("counted", sa.Boolean(), nullable=True),
        sa.Column("failure_kind", sa.Text(), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("duration_seconds", sa.Double(), nullable=True),
        sa.Column("peak_rss_mb", sa.Double(), nullable=True),
        sa.Column("telemetry_meta", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("results_path", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('allocated', 'dispatched', 'finished')", name=op.f("ck_execution_status")),
        sa.ForeignKeyConstraint(
            ["group_id"], ["execution_group.id"], name=op.f("fk_execution_group_id_execution_group")
        ),
        sa.ForeignKeyConstraint(["replaces_id"], ["execution.id"], name=op.f("fk_execution_replaces_id_execution")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution")),
        sa.UniqueConstraint("fragment", name=op.f("uq_execution_fragment")),
    )
    op.create_index(op.f("ix_execution_group_id_input_hash"), "execution", ["group_id", "input_hash"])
    op.create_index(op.f("ix_execution_status"), "execution", ["status"])


def _create_execution_dataset() -> None:
    op.create_table(
        "execution_dataset",
        sa.Column("execution_id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_execution_dataset_dataset_id_dataset")),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.id"], name=op.f("fk_execution_dataset_execution_id_execution")
        ),
        sa.PrimaryKeyConstraint("execution_id", "dataset_id", name=op.f("pk_execution_dataset")),
    )


def _create_execution_output() -> None:
    op.create_table(
        "execution_output",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("execution_id", sa.Integer(), nullable=False),
        sa.Column("output_type", sa.Text(), nullable=False),
        sa.Column("short_name", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("long_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.id"], name=op.f("fk_execution_output_execution_id_execution")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution_output")),
        sa.UniqueConstraint(
            "execution_id",
            "output_type",
            "short_name",
            name=op.f("uq_execution_output_execution_id_output_type_short_name"),
        ),
    )


def _create_scalar_value() -> None:
    op.create_table(
        "scalar_value",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("execution_id", sa.Integer(), nullable=False),
        sa.Column("dimensions_hash", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.id"], name=op.f("fk_scalar_value_execution_id_execution")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scalar_value")),
        sa.UniqueConstraint(
            "execution_id", "dimensions_hash", name=op.f("uq_scalar_value_execution_id_dimensions_hash")
        ),
    )


def _create_series_value() -> None:
    op.create_table(
        "series_value",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("execution_id", sa.Integer(), nullable=False),
        sa.Column("dimensions_hash", sa.Text(), nullable=False),
        sa.Column("index_name", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("index", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("values", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("attributes", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.id"], name=op.f("fk_series_value_execution_id_execution")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series_value")),
        sa.UniqueConstraint(
            "execution_id",
            "dimensions_hash",
            "index_name",
            name=op.f("uq_series_value_execution_id_dimensions_hash_index_name"),
        ),
    )
