"""What answers show of growth: the core's views, sizes in whole MiB as well."""

from collections.abc import Callable
from datetime import date
from typing import Any, Generic, TypeVar

from attrs import asdict, frozen

from capacity_core.aggregation import AggregationOutcome, AggregationStatus, Recomputation
from capacity_core.answer import Asked, mebibytes
from capacity_core.growth_reads import (
    DatabaseGrowth,
    GrowthSummary,
    InstanceGrowth,
    InstanceLabel,
    Slice,
)
from capacity_core.growth_views import (
    DatabaseGrowthView,
    GrowthView,
    InstanceGrowthView,
    database_growth_view,
    instance_growth_view,
)
from capacity_core.messages import render
from capacity_core.periods import PeriodType
from capacity_core.reads import AggregateLevel
from capacity_core.rollup import whole_average

Item = TypeVar("Item")
Row = TypeVar("Row", DatabaseGrowth, InstanceGrowth)


@frozen(kw_only=True)
class DatabaseGrowthItem(DatabaseGrowthView):
    """A database over one period, and its change; `*_mb` are whole MiB, rounded up."""

    avg_size_mb: int
    max_size_mb: int
    min_size_mb: int
    first_size_mb: int
    last_size_mb: int
    avg_data_size_mb: int | None
    max_data_size_mb: int | None
    min_data_size_mb: int | None
    avg_log_size_mb: int | None
    max_log_size_mb: int | None
    min_log_size_mb: int | None


@frozen(kw_only=True)
class InstanceGrowthItem(InstanceGrowthView):
    """An instance over one period, and its change; `*_mb` are whole MiB, rounded up."""

    avg_total_size_mb: int
    max_total_size_mb: int
    min_total_size_mb: int
    first_total_size_mb: int
    last_total_size_mb: int


@frozen(kw_only=True)
class GrowthData(Generic[Item]):
    """`total` and `pages` are left out where they were not asked for."""

    items: list[Item]
    page: int
    limit: int
    has_prev: bool
    has_next: bool
    total: int | None = None
    pages: int | None = None


@frozen(kw_only=True)
class SummaryView:
    """The latest of the asked periods of every active series, added up: averages, known changes.

    `oldest_period_start` and `newest_period_start` begin the oldest and the newest that was added.
    `unknown_changes` series have no known change. `avg_size_bytes` is the mean of the series.
    """

    period_type: PeriodType
    oldest_period_start: str | None
    newest_period_start: str | None
    total_instances: int
    total_size_bytes: int
    total_size_mb: int
    avg_size_bytes: int | None
    avg_size_mb: int | None
    max_size_bytes: int | None
    max_size_mb: int | None
    size_change_bytes: int | None
    unknown_changes: int


@frozen(kw_only=True)
class DatabaseSummaryView(SummaryView):
    total_databases: int


@frozen
class DatabaseSummaryData:
    summary: DatabaseSummaryView


@frozen
class InstanceSummaryData:
    summary: SummaryView


@frozen(kw_only=True)
class OutcomeView:
    """One instance's aggregates of one level and period; `aggregate_count` of them are kept."""

    instance: InstanceLabel
    level: AggregateLevel
    period_type: PeriodType
    period_start: str
    period_end: str
    status: AggregationStatus
    aggregate_count: int
    reason: str | None


@frozen(kw_only=True)
class AggregationData:
    """How many outcomes there are of each status, and the first 1,000: failed ones come first."""

    completed: int
    skipped: int
    failed: int
    outcomes: list[OutcomeView]


def growth_data(found: Slice[Row], view: Callable[[Row], Item]) -> dict[str, object]:
    """Show some rows; no row at all is 0 pages."""
    number, limit = found.paging.page, found.paging.limit
    counted = {} if found.total is None else _counted(found.total, limit)
    return {
        "items": [view(row) for row in found.rows],
        "page": number,
        "limit": limit,
        "has_prev": number > 1,
        "has_next": found.has_next,
        **counted,
    }


def database_item(row: DatabaseGrowth, today: date) -> DatabaseGrowthItem:
    return DatabaseGrowthItem(**_with_mebibytes(database_growth_view(row, today)))


def instance_item(row: InstanceGrowth, today: date) -> InstanceGrowthItem:
    return InstanceGrowthItem(**_with_mebibytes(instance_growth_view(row, today)))


def database_summary_data(found: GrowthSummary, kind: PeriodType) -> dict[str, object]:
    summary = DatabaseSummaryView(**_summary(found, kind), total_databases=found.series_count)
    return {"summary": summary}


def instance_summary_data(found: GrowthSummary, kind: PeriodType) -> dict[str, object]:
    return {"summary": SummaryView(**_summary(found, kind))}


def aggregation_data(found: Recomputation, asked: Asked) -> AggregationData:
    counts: dict[str, Any] = {str(status): found.count(status) for status in AggregationStatus}
    shown = [_outcome_view(outcome, asked) for outcome in found.outcomes]
    return AggregationData(**counts, outcomes=shown)


def _outcome_view(outcome: AggregationOutcome, asked: Asked) -> OutcomeView:
    return OutcomeView(
        instance=outcome.instance,
        level=outcome.level,
        period_type=outcome.period.type,
        period_start=outcome.period.start.isoformat(),
        period_end=outcome.period.end.isoformat(),
        status=outcome.status,
        aggregate_count=outcome.aggregate_count,
        reason=None if outcome.reason is None else render(outcome.reason, asked.language),
    )


def _with_mebibytes(view: GrowthView) -> dict[str, Any]:
    said = asdict(view, recurse=False)
    sizes = {name: value for name, value in said.items() if name.endswith("_size_bytes")}
    return {
        **said,
        **{f"{name.removesuffix('bytes')}mb": _mb(size) for name, size in sizes.items()},
    }


def _summary(found: GrowthSummary, kind: PeriodType) -> dict[str, Any]:
    total, count = found.total_size_bytes, found.series_count
    average = whole_average(total, count) if count else None
    return {
        "period_type": kind,
        "oldest_period_start": _iso(found.oldest_start),
        "newest_period_start": _iso(found.newest_start),
        "total_instances": found.instance_count,
        "total_size_bytes": total,
        "total_size_mb": mebibytes(total),
        "avg_size_bytes": average,
        "avg_size_mb": _mb(average),
        "max_size_bytes": found.max_size_bytes,
        "max_size_mb": _mb(found.max_size_bytes),
        "size_change_bytes": found.change_bytes,
        "unknown_changes": found.unknown_changes,
    }


def _counted(total: int, limit: int) -> dict[str, int]:
    return {"total": total, "pages": -(-total // limit)}


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _mb(size: int | None) -> int | None:
    return None if size is None else mebibytes(size)
