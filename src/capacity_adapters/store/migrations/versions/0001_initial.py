# ruff: noqa: INP001 -- alembic loads this file by its path
"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for create in (
        _create_instances,
        _create_credentials,
        _create_tokens,
        _create_leases,
        _create_databases,
        _create_stats,
        _create_database_aggregations,
        _create_instance_aggregations,
    ):
        create()


def _instance_number() -> sa.Column[Any]:
    return sa.Column("instance_id", ID, primary_key=True, autoincrement=False)


def _instance_id() -> sa.Column[Any]:
    return sa.Column(
        "instance_id", ID, sa.ForeignKey("instances.id"), primary_key=True, autoincrement=False
    )


def _key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True)


def _required(kind: Any, *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def _optional(kind: Any, *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind) for name in names]


def _create_instances() -> None:
    op.create_table(
        "instances",
        _key("id", ID),
        *_required(NAME, "name"),
        *_required(sa.Text, "db_type"),
        *_optional(sa.Text, "host"),
        *_optional(sa.Integer, "port"),
        *_optional(sa.Text, "path"),
        *_required(sa.Text, "username"),
        *_optional(sa.Text, "database_name", "password_ref"),
        *_required(sa.Text, "tls_mode"),
        *_optional(sa.Text, "tls_ca", "timezone"),
        *_required(sa.Text, "filters", "description"),
        *_required(sa.Boolean, "is_active"),
        *_required(TIME, "created_at", "updated_at"),
        *_optional(TIME, "deleted_at", "last_sync_at"),
        *_optional(sa.Text, "last_sync_scenario", "last_sync_reason"),
    )
    _unique_among("uq_instances_living_name", "instances", "deleted_at IS NULL")


def _create_credentials() -> None:
    op.create_table(
        "credentials",
        _instance_id(),
        *_required(sa.Text, "key_id"),
        *_required(sa.LargeBinary, "nonce", "sealed"),
    )


def _create_tokens() -> None:
    op.create_table(
        "api_tokens",
        _key("id", ID),
        *_required(NAME, "name"),
        *_required(sa.Text, "scope"),
        sa.Column("token_hash", sa.Text, nullable=False, unique=True),
        *_required(TIME, "created_at"),
        *_optional(TIME, "revoked_at"),
    )
    _unique_among("uq_api_tokens_living_name", "api_tokens", "revoked_at IS NULL")


def _unique_among(index: str, table: str, living: str) -> None:
    where = sa.text(living)
    op.create_index(index, table, ["name"], unique=True, postgresql_where=where, sqlite_where=where)


def _create_leases() -> None:
    op.create_table(
        "leases",
        _instance_id(),
        *_optional(sa.Text, "owner"),
        *_required(sa.BigInteger, "fencing"),
        *_required(sa.Double, "acquired_at", "expires_at"),
    )


def _create_databases() -> None:
    op.create_table(
        "instance_databases",
        _instance_id(),
        _key("database_name", NAME),
        *_required(sa.Boolean, "is_active", "is_system"),
        *_required(sa.Date, "first_seen_date", "last_seen_date"),
        *_optional(TIME, "deleted_at"),
    )


def _create_stats() -> None:
    op.create_table(
        "database_size_stats",
        _instance_number(),
        _key("database_name", NAME),
        _key("collected_date", sa.Date),
        *_optional(sa.BigInteger, "size_bytes", "data_size_bytes", "log_size_bytes"),
        *_optional(sa.Text, "method"),
        *_optional(TIME, "collected_at"),
        *_required(sa.Text, "last_outcome"),
        *_required(TIME, "last_attempt_at"),
    )
    # The name makes a look-up by the full key right whichever index the planner takes.
    by_day = ["instance_id", "collected_date", "database_name"]
    op.create_index("ix_database_size_stats_day", "database_size_stats", by_day)
    op.create_table(
        "instance_size_stats",
        _instance_id(),
        _key("collected_date", sa.Date),
        *_required(sa.BigInteger, "total_size_bytes", "carried_size_bytes"),
        *_required(sa.Integer, "measured_count", "active_count"),
        *_required(TIME, "collected_at"),
    )


def _period() -> list[sa.Column[Any]]:
    return [
        _key("period_type", sa.Text),
        _key("period_start", sa.Date),
        *_required(sa.Date, "period_end"),
        *_required(sa.Integer, "data_count"),
    ]


def _create_database_aggregations() -> None:
    big, percent = sa.BigInteger, sa.Double
    op.create_table(
        "database_size_aggregations",
        _instance_number(),
        _key("database_name", NAME),
        *_period(),
        *_required(big, "size_sum_bytes", "max_size_bytes", "min_size_bytes"),
        *_required(sa.Integer, "data_size_count"),
        *_optional(big, "data_size_sum_bytes", "max_data_size_bytes", "min_data_size_bytes"),
        *_required(sa.Integer, "log_size_count"),
        *_optional(big, "log_size_sum_bytes", "max_log_size_bytes", "min_log_size_bytes"),
        *_optional(sa.Date, "baseline_date"),
        *_optional(big, "size_change_bytes", "data_size_change_bytes", "log_size_change_bytes"),
        *_optional(percent, "size_change_percent", "data_size_change_percent"),
        *_optional(percent, "log_size_change_percent", "growth_rate"),
    )


def _create_instance_aggregations() -> None:
    big = sa.BigInteger
    op.create_table(
        "instance_size_aggregations",
        _instance_id(),
        *_period(),
        *_required(big, "total_size_sum_bytes", "max_total_size_bytes", "min_total_size_bytes"),
        *_required(big, "measured_count_sum", "active_count_sum"),
        *_required(sa.Integer, "max_active_count", "min_active_count"),
        *_optional(sa.Date, "baseline_date"),
        *_optional(big, "total_size_change_bytes"),
        *_optional(sa.Double, "total_size_change_percent"),
        *_optional(sa.Integer, "active_count_change"),
        *_optional(sa.Double, "active_count_change_percent", "growth_rate"),
        *_required(sa.Text, "trend_direction"),
    )
