"""What answers show of the core's values. No secret is among it."""

from collections.abc import Callable
from datetime import date
from typing import Any, Generic, Literal, TypeVar

from attrs import asdict, fields, frozen

from capacity_core.answer import SyncPayload, mebibytes
from capacity_core.diagnosis_answer import DiagnosisPayload
from capacity_core.reads import DatabaseRow, InstanceDay, Page, SizeRow
from capacity_core.views import InstanceView

Item = TypeVar("Item")
Row = TypeVar("Row")
Data = TypeVar("Data")


@frozen
class Succeeded(Generic[Data]):
    """The envelope of every success, as the schema describes it."""

    success: Literal[True]
    error: Literal[False]
    message: str
    message_code: Literal["OPERATION_SUCCESS"]
    timestamp: str
    data: Data


@frozen(kw_only=True)
class SizeView:
    """A size in bytes, and as `*_mb` in whole MiB, rounded up; null where there is none.

    `used_size_bytes` is what the files hold, `ceiling_bytes` how large they may become by
    themselves. `method` is how the size was found out, `freshness` how old it may have been then
    (live, cached, or an estimate), `duration_ms` how many milliseconds the statement took that
    told it. `method_changed`: the last size before was found out in another way, so the two do
    not compare.
    """

    size_bytes: int | None
    size_mb: int | None
    data_size_bytes: int | None
    data_size_mb: int | None
    log_size_bytes: int | None
    log_size_mb: int | None
    used_size_bytes: int | None
    ceiling_bytes: int | None
    method: str | None
    method_changed: bool
    freshness: str | None
    duration_ms: int | None
    collected_at: str | None


@frozen(kw_only=True)
class DayView(SizeView):
    """One database on one business day, and how the day's latest attempt ended."""

    database_name: str
    collected_date: str
    outcome: str
    last_attempt_at: str


@frozen(kw_only=True)
class DatabaseView(SizeView):
    """A known database: its last known size, and how its latest attempt ended."""

    database_name: str
    is_active: bool
    is_system: bool
    first_seen_date: str
    last_seen_date: str
    deleted_at: str | None
    collected_date: str | None
    outcome: str | None
    last_attempt_at: str | None


@frozen(kw_only=True)
class InstanceDayView:
    """An instance on one business day: how many of its databases had a size, and their total.

    `carried_size_bytes` are the last known sizes of the active databases that had none.
    """

    collected_date: str
    measured_count: int
    active_count: int
    total_size_bytes: int
    total_size_mb: int
    carried_size_bytes: int
    carried_size_mb: int
    collected_at: str


@frozen
class HealthData:
    status: str


@frozen
class InstanceData:
    instance: InstanceView


@frozen
class ImportData:
    """How many instances were added, or would be by a dry run, and were there already."""

    added: int
    unchanged: int
    dry_run: bool


@frozen
class SyncData:
    result: SyncPayload


@frozen
class DiagnosisData:
    diagnosis: DiagnosisPayload


@frozen(kw_only=True)
class PageData(Generic[Item]):
    items: list[Item]
    total: int
    page: int
    pages: int
    limit: int
    has_prev: bool
    has_next: bool


@frozen(kw_only=True)
class DatabasesData(PageData[DatabaseView]):
    """`tls` is how the connections to the instance are protected."""

    items: list[DatabaseView]  # said again: the schema knows no inherited parameter
    tls: str


def database_view(row: DatabaseRow) -> DatabaseView:
    return DatabaseView(
        **_size(row.size),
        database_name=row.database_name,
        is_active=row.is_active,
        is_system=row.is_system,
        first_seen_date=row.first_seen_date.isoformat(),
        last_seen_date=row.last_seen_date.isoformat(),
        deleted_at=_iso(row.deleted_at),
        collected_date=row.size.collected_date.isoformat() if row.size else None,
        outcome=row.latest.last_outcome if row.latest else None,
        last_attempt_at=row.latest.last_attempt_at.isoformat() if row.latest else None,
    )


def day_view(row: SizeRow) -> DayView:
    return DayView(
        **_size(row),
        database_name=row.database_name,
        collected_date=row.collected_date.isoformat(),
        outcome=row.last_outcome,
        last_attempt_at=row.last_attempt_at.isoformat(),
    )


def instance_day_view(day: InstanceDay) -> InstanceDayView:
    return InstanceDayView(
        collected_date=day.collected_date.isoformat(),
        measured_count=day.measured_count,
        active_count=day.active_count,
        total_size_bytes=day.total_size_bytes,
        total_size_mb=mebibytes(day.total_size_bytes),
        carried_size_bytes=day.carried_size_bytes,
        carried_size_mb=mebibytes(day.carried_size_bytes),
        collected_at=day.collected_at.isoformat(),
    )


def page_data(page: Page[Row], view: Callable[[Row], Item]) -> dict[str, object]:
    """Show a page of rows; no row at all is 0 pages."""
    number, limit = page.paging.page, page.paging.limit
    pages = -(-page.total // limit)
    data = PageData(
        items=[view(row) for row in page.rows],
        total=page.total,
        page=number,
        pages=pages,
        limit=limit,
        has_prev=number > 1,
        has_next=number < pages,
    )
    return asdict(data, recurse=False)


def _size(row: SizeRow | None) -> dict[str, Any]:
    if row is None:
        return {**dict.fromkeys(field.name for field in fields(SizeView)), "method_changed": False}
    return {
        "size_bytes": row.size_bytes,
        "size_mb": _mb(row.size_bytes),
        "data_size_bytes": row.data_size_bytes,
        "data_size_mb": _mb(row.data_size_bytes),
        "log_size_bytes": row.log_size_bytes,
        "log_size_mb": _mb(row.log_size_bytes),
        "used_size_bytes": row.used_size_bytes,
        "ceiling_bytes": row.ceiling_bytes,
        "method": row.method,
        "method_changed": row.method_changed,
        "freshness": row.freshness,
        "duration_ms": row.duration_ms,
        "collected_at": _iso(row.collected_at),
    }


def _mb(size: int | None) -> int | None:
    return None if size is None else mebibytes(size)


def _iso(moment: date | None) -> str | None:
    return None if moment is None else moment.isoformat()
