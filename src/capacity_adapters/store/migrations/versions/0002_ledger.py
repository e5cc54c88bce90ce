# ruff: noqa: INP001 -- alembic loads this file by its path
"""Levels, client certificates, and what the outcome ledger keeps of a size."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Changes kept so far did not look at how the two sizes were found out.
_MARK_BREAKS = """
UPDATE database_size_aggregations SET is_break = true, size_change_bytes = NULL,
    data_size_change_bytes = NULL, log_size_change_bytes = NULL, size_change_percent = NULL,
    data_size_change_percent = NULL, log_size_change_percent = NULL, growth_rate = NULL
WHERE period_type = 'daily' AND baseline_date IS NOT NULL AND (
    SELECT method FROM database_size_stats AS stats
    WHERE stats.instance_id = database_size_aggregations.instance_id
        AND stats.database_name = database_size_aggregations.database_name
        AND stats.collected_date = database_size_aggregations.period_start) <> (
    SELECT method FROM database_size_stats AS stats
    WHERE stats.instance_id = database_size_aggregations.instance_id
        AND stats.database_name = database_size_aggregations.database_name
        AND stats.collected_date = database_size_aggregations.baseline_date)
"""
# Which databases were active then is not kept, but those measured that day were.
_MARK_INSTANCES = """
UPDATE instance_size_aggregations SET is_break = true, total_size_change_bytes = NULL,
    total_size_change_percent = NULL, growth_rate = NULL, trend_direction = 'unknown'
WHERE period_type = 'daily' AND baseline_date IS NOT NULL AND (instance_id, period_start) IN (
    SELECT instance_id, period_start FROM database_size_aggregations
    WHERE period_type = 'daily' AND is_break)
"""


def upgrade() -> None:
    level = sa.Column("level", sa.Text, nullable=False, server_default="database")
    op.add_column("instances", level)
    for name in ("tls_cert", "tls_key"):
        op.add_column("instances", sa.Column(name, sa.Text))
    for name in ("used_size_bytes", "ceiling_bytes", "duration_ms"):
        op.add_column("database_size_stats", sa.Column(name, sa.BigInteger))
    op.add_column("database_size_stats", sa.Column("freshness", sa.Text))
    for table in ("database_size_aggregations", "instance_size_aggregations"):
        is_break = sa.Column("is_break", sa.Boolean, nullable=False, server_default=sa.false())
        op.add_column(table, is_break)
    op.execute(_MARK_BREAKS)
    op.execute(_MARK_INSTANCES)
