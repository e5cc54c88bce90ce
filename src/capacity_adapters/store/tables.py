"""The tables of the store: bytes in 64 bits, times aware, names verbatim and by code point."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware in, aware out: SQLite would forget the zone, PostgreSQL answer in the session's."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


# SQLite numbers rows by itself only where the key is its own INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")
# Every store orders names by code point, as Python does.
Name = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData()


def _instance_number() -> Column[int]:
    """Of the two largest tables: a foreign key would be half of what a new row costs."""
    return Column("instance_id", Id, primary_key=True, autoincrement=False)


def _instance_id() -> Column[int]:
    key = ForeignKey("instances.id")
    return Column("instance_id", Id, key, primary_key=True, autoincrement=False)


def _bytes(*names: str, nullable: bool) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=nullable) for name in names]


def _doubles(*names: str) -> list[Column[float]]:
    return [Column(name, Double) for name in names]


instances = Table(
    "instances",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("db_type", Text, nullable=False),
    Column("host", Text),
    Column("port", Integer),
    Column("path", Text),
    Column("username", Text, nullable=False),
    Column("database_name", Text),
    Column("level", Text, nullable=False, server_default="database"),
    Column("password_ref", Text),
    Column("tls_mode", Text, nullable=False),
    Column("tls_ca", Text),
    Column("tls_cert", Text),
    Column("tls_key", Text),
    Column("timezone", Text),
    Column("filters", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Column("last_sync_at", UtcDateTime),
    Column("last_sync_scenario", Text),
    Column("last_sync_reason", Text),
    Column("tags", Text, nullable=False, server_default="[]"),
    Column("zone", Text, nullable=False, server_default="default"),
)
credentials = Table(
    "credentials",
    metadata,
    _instance_id(),
    Column("key_id", Text, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("scope", Text, nullable=False),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)
# Times of a lease are epoch seconds of the store's own clock; no owner: it is free.
leases = Table(
    "leases",
    metadata,
    _instance_id(),
    Column("owner", Text),
    Column("fencing", BigInteger, nullable=False),
    Column("acquired_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)

instance_databases = Table(
    "instance_databases",
    metadata,
    _instance_id(),
    Column("database_name", Name, primary_key=True),
    Column("is_active", Boolean, nullable=False),
    Column("is_system", Boolean, nullable=False),
    Column("first_seen_date", Date, nullable=False),
    Column("last_seen_date", Date, nullable=False),
    Column("deleted_at", UtcDateTime),
)

database_size_stats = Table(
    "database_size_stats",
    metadata,
    _instance_number(),
    Column("database_name", Name, primary_key=True),
    Column("collected_date", Date, primary_key=True),
    *_bytes("size_bytes", "data_size_bytes", "log_size_bytes", nullable=True),
    Column("method", Text),
    Column("collected_at", UtcDateTime),
    Column("last_outcome", Text, nullable=False),
    Column("last_attempt_at", UtcDateTime, nullable=False),
    *_bytes("used_size_bytes", "ceiling_bytes", nullable=True),
    Column("freshness", Text),
    Column("duration_ms", BigInteger),
    Column("identity", Text),
    Index("ix_database_size_stats_day", "instance_id", "collected_date", "database_name"),
)

instance_size_stats = Table(
    "instance_size_stats",
    metadata,
    _instance_id(),
    Column("collected_date", Date, primary_key=True),
    *_bytes("total_size_bytes", "carried_size_bytes", nullable=False),
    Column("measured_count", Integer, nullable=False),
    Column("active_count", Integer, nullable=False),
    Column("collected_at", UtcDateTime, nullable=False),
)


def _counters(*names: str) -> list[Column[Any]]:
    return [Column(name, BigInteger, nullable=False, server_default="0") for name in names]


def _period() -> list[Column[Any]]:
    return [
        Column("period_type", Text, primary_key=True),
        Column("period_start", Date, primary_key=True),
        Column("period_end", Date, nullable=False),
        Column("data_count", Integer, nullable=False),
    ]


# Averages are kept as sum and count: a cast would round differently on each store.
database_size_aggregations = Table(
    "database_size_aggregations",
    metadata,
    _instance_number(),
    Column("database_name", Name, primary_key=True),
    *_period(),
    *_bytes("size_sum_bytes", "max_size_bytes", "min_size_bytes", nullable=False),
    Column("data_size_count", Integer, nullable=False),
    *_bytes("data_size_sum_bytes", "max_data_size_bytes", "min_data_size_bytes", nullable=True),
    Column("log_size_count", Integer, nullable=False),
    *_bytes("log_size_sum_bytes", "max_log_size_bytes", "min_log_size_bytes", nullable=True),
    Column("baseline_date", Date),
    *_bytes("size_change_bytes", "data_size_change_bytes", "log_size_change_bytes", nullable=True),
    *_doubles("size_change_percent", "data_size_change_percent", "log_size_change_percent"),
    Column("growth_rate", Double),
    Column("is_break", Boolean, nullable=False, server_default=false()),
    *_bytes("first_size_bytes", "last_size_bytes", nullable=True),
    Column("trend_direction", Text),
    Index(
        "ix_database_size_aggregations_period",
        "period_type",
        "period_start",
        "instance_id",
        "database_name",
    ),
)

instance_size_aggregations = Table(
    "instance_size_aggregations",
    metadata,
    _instance_id(),
    *_period(),
    *_bytes("total_size_sum_bytes", "max_total_size_bytes", "min_total_size_bytes", nullable=False),
    Column("measured_count_sum", BigInteger, nullable=False),
    Column("active_count_sum", BigInteger, nullable=False),
    Column("max_active_count", Integer, nullable=False),
    Column("min_active_count", Integer, nullable=False),
    Column("baseline_date", Date),
    Column("total_size_change_bytes", BigInteger),
    Column("total_size_change_percent", Double),
    Column("active_count_change", Integer),
    Column("active_count_change_percent", Double),
    Column("growth_rate", Double),
    Column("trend_direction", Text, nullable=False),
    Column("is_break", Boolean, nullable=False, server_default=false()),
    *_bytes("first_total_size_bytes", "last_total_size_bytes", nullable=True),
    Column("partial_days", Integer),
    Index("ix_instance_size_aggregations_period", "period_type", "period_start", "instance_id"),
)

# How large a database may become, said by the user; no name: all databases of the instance.
capacity_limits = Table(
    "capacity_limits",
    metadata,
    _instance_id(),
    Column("database_name", Name, primary_key=True),
    *_bytes("limit_bytes", nullable=False),
)

# One row. Days before that one are incomplete: nothing is computed from them anew.
capacity_retention = Table(
    "capacity_retention",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("pruned_before", Date),
)

# What ended is counted in the run, by whoever ends it and holds the run: nobody counts its items.
# The bytes are in two halves of 32 bits, as their sum may not fit into 64.
runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("trigger", Text, nullable=False),
    Column("requested_by", Text),
    Column("selection", Text, nullable=False),
    Column("selection_digest", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("active_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("cancel_requested_at", UtcDateTime),
    Column("item_count", Integer, nullable=False),
    *_counters("completed", "failed", "cancelled", "skipped", "databases", "size_high", "size_low"),
)

# Times of claims are epoch seconds of the store's own clock.
run_items = Table(
    "run_items",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id"), nullable=False),
    Column("instance_id", Id, ForeignKey("instances.id"), nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("owner", Text),
    Column("claimed_until", Double),
    Column("not_before", Double, nullable=False, server_default="0"),
    Column("queued_until", Double, nullable=False, server_default="0"),
    Column("database_count", Integer),
    Column("unmeasured_count", Integer),
    *_bytes("size_bytes", "duration_ms", nullable=True),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Index("ix_run_items_run", "run_id", "id"),
    Index("ix_run_items_instance", "instance_id", "run_id"),
)

# When each schedule was last met.
schedules = Table(
    "schedules",
    metadata,
    Column("name", Name, primary_key=True),
    Column("fired_at", UtcDateTime, nullable=False),
)

# What a fleet does not try again: a keyed hash of the credential that an instance refused.
refused_credentials = Table(
    "refused_credentials",
    metadata,
    _instance_id(),
    Column("mark", Text, nullable=False),
)


@cache
def whole_schema() -> MetaData:
    """Return the tables with their partial indexes, which would load both dialects at import."""
    aggregates = database_size_aggregations.c
    period = (aggregates.instance_id, aggregates.period_type, aggregates.period_start)
    for name, columns, rows in (
        ("uq_runs_running_selection", (runs.c.selection_digest,), text("status = 'running'")),
        ("ix_run_items_pending", (run_items.c.id,), text("status = 'pending'")),
        ("ix_run_items_running", (run_items.c.run_id,), text("status = 'running'")),
        ("uq_instances_living_name", (instances.c.name,), text("deleted_at IS NULL")),
        ("uq_api_tokens_living_name", (api_tokens.c.name,), text("revoked_at IS NULL")),
        ("ix_database_size_aggregations_break", period, text("is_break")),
    ):
        unique = name.startswith("uq_")
        Index(name, *columns, unique=unique, postgresql_where=rows, sqlite_where=rows)
    return metadata
