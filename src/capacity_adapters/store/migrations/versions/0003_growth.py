# ruff: noqa: INP001 -- alembic loads this file by its path
"""What weeks, months and quarters are made of, identities of databases, limits, retention."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# A day is its own first and last; which of its databases were carried is in the day itself.
_DATABASES = """
UPDATE database_size_aggregations SET first_size_bytes = size_sum_bytes,
    last_size_bytes = size_sum_bytes,
    trend_direction = CASE WHEN growth_rate IS NULL THEN 'unknown'
        WHEN growth_rate > 5 THEN 'growing' WHEN growth_rate < -5 THEN 'shrinking' ELSE 'stable' END
"""
_INSTANCES = """
UPDATE instance_size_aggregations SET first_total_size_bytes = total_size_sum_bytes,
    last_total_size_bytes = total_size_sum_bytes,
    partial_days = CASE WHEN measured_count_sum < active_count_sum THEN 1 ELSE 0 END
"""
# Instances are never deleted; on SQLite, which would copy the table, the key does no harm.
_DROP_KEY = "ALTER TABLE {0} DROP CONSTRAINT IF EXISTS {0}_instance_id_fkey"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in ("database_size_stats", "database_size_aggregations"):
            op.execute(_DROP_KEY.format(table))
    op.add_column("database_size_stats", sa.Column("identity", sa.Text))
    for table, names in (
        ("database_size_aggregations", ("first_size_bytes", "last_size_bytes")),
        ("instance_size_aggregations", ("first_total_size_bytes", "last_total_size_bytes")),
    ):
        for name in names:
            op.add_column(table, sa.Column(name, sa.BigInteger))
    op.add_column("database_size_aggregations", sa.Column("trend_direction", sa.Text))
    op.add_column("instance_size_aggregations", sa.Column("partial_days", sa.Integer))
    op.execute(_DATABASES)
    op.execute(_INSTANCES)
    period = ["period_type", "period_start", "instance_id"]
    op.create_index(
        "ix_database_size_aggregations_period",
        "database_size_aggregations",
        [*period, "database_name"],
    )
    op.create_index("ix_instance_size_aggregations_period", "instance_size_aggregations", period)
    broken = sa.text("is_break")  # few are, and each breaks its instance's series
    op.create_index(
        "ix_database_size_aggregations_break",
        "database_size_aggregations",
        ["instance_id", "period_type", "period_start"],
        postgresql_where=broken,
        sqlite_where=broken,
    )
    op.create_table(
        "capacity_limits",
        sa.Column(
            "instance_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("instances.id"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column(
            "database_name",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            primary_key=True,
        ),
        sa.Column("limit_bytes", sa.BigInteger, nullable=False),
    )
    retention = op.create_table(
        "capacity_retention",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("pruned_before", sa.Date),
    )
    op.bulk_insert(retention, [{"id": 1, "pruned_before": None}])
