# ruff: noqa: INP001 -- alembic loads this file by its path
"""Runs over many instances, and what selects and orders them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name, default in (("tags", "[]"), ("zone", "default")):
        op.add_column("instances", sa.Column(name, sa.Text, nullable=False, server_default=default))
    op.create_table(
        "runs",
        sa.Column("id", ID, primary_key=True),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text),
        sa.Column("selection", sa.Text, nullable=False),
        sa.Column("selection_digest", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("active_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.Column("cancel_requested_at", TIME),
        sa.Column("item_count", sa.Integer, nullable=False),
        *[
            sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
            for name in (
                *("completed", "failed", "cancelled", "skipped"),
                *("databases", "size_high", "size_low"),
            )
        ],
    )
    op.create_table(
        "run_items",
        sa.Column("id", ID, primary_key=True),
        sa.Column("run_id", ID, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("instance_id", ID, sa.ForeignKey("instances.id"), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("owner", sa.Text),
        sa.Column("claimed_until", sa.Double),
        sa.Column("not_before", sa.Double, nullable=False, server_default="0"),
        sa.Column("queued_until", sa.Double, nullable=False, server_default="0"),
        sa.Column("database_count", sa.Integer),
        sa.Column("unmeasured_count", sa.Integer),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("started_at", TIME),
        sa.Column("finished_at", TIME),
    )
    op.create_table(
        "schedules",
        sa.Column(
            "name",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            primary_key=True,
        ),
        sa.Column("fired_at", TIME, nullable=False),
    )
    op.create_table(
        "refused_credentials",
        sa.Column(
            "instance_id", ID, sa.ForeignKey("instances.id"), primary_key=True, autoincrement=False
        ),
        sa.Column("mark", sa.Text, nullable=False),
    )
    op.create_index("ix_run_items_run", "run_items", ["run_id", "id"])
    op.create_index("ix_run_items_instance", "run_items", ["instance_id", "run_id"])
    running = "status = 'running'"
    _partial("uq_runs_running_selection", "runs", ["selection_digest"], running, unique=True)
    _partial("ix_run_items_pending", "run_items", ["id"], "status = 'pending'")
    _partial("ix_run_items_running", "run_items", ["run_id"], running)


def _partial(name: str, table: str, columns: list[str], rows: str, *, unique: bool = False) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        postgresql_where=sa.text(rows),
        sqlite_where=sa.text(rows),
    )
