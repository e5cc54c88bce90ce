"""The questions of lists and pages, answered from memory."""

from collections.abc import Mapping
from datetime import date

from attrs import evolve, frozen

from capacity_adapters.memory.rows import (
    KnownDatabase,
    State,
    Work,
    latest_size,
    page_of,
)
from capacity_core.reads import DatabaseRow, DateRange, InstanceDay, Page, Paging, SizeRow
from capacity_core.rollup import changed_method


@frozen
class MemoryReads:
    _work: Work

    def databases(self, instance_id: int, paging: Paging) -> Page[DatabaseRow]:
        state = self._work.read()
        known = state.databases.get(instance_id, {})
        names = sorted(known, key=lambda name: (not known[name].is_active, name))
        page = page_of(names, paging)
        rows = tuple(_database_row(state, instance_id, name, known[name]) for name in page.rows)
        return Page(rows, page.total, paging)

    def history(
        self, instance_id: int, database_name: str, days: DateRange, paging: Paging
    ) -> Page[SizeRow]:
        start, end = days.start or date.min, days.end or date.max
        rows = self._work.read().sizes.get((instance_id, database_name), {})
        newest_first = sorted((day for day in rows if start <= day <= end), reverse=True)
        return page_of([_marked(rows, rows[day]) for day in newest_first], paging)

    def sizes_on(self, instance_id: int, day: date | None) -> list[SizeRow]:
        sizes = self._work.read().sizes
        histories = [days for (owner, _), days in sizes.items() if owner == instance_id]
        if day is None:
            day = max((max(days) for days in histories), default=date.min)
        today = [_marked(days, days[day]) for days in histories if day in days]
        return sorted(today, key=_largest_first)

    def instance_day(self, instance_id: int, day: date) -> InstanceDay | None:
        return self._work.read().totals.get(instance_id, {}).get(day)

    def instance_days(self, instance_id: int, paging: Paging) -> Page[InstanceDay]:
        days = self._work.read().totals.get(instance_id, {})
        return page_of([days[day] for day in sorted(days, reverse=True)], paging)


def _marked(days: Mapping[date, SizeRow], row: SizeRow) -> SizeRow:
    before = latest_size(days, row.collected_date)
    return evolve(row, method_changed=before is not None and changed_method([before, row]))


def _largest_first(row: SizeRow) -> tuple[bool, int, str]:
    return row.size_bytes is None, -(row.size_bytes or 0), row.database_name


def _database_row(state: State, instance_id: int, name: str, known: KnownDatabase) -> DatabaseRow:
    days = state.sizes.get((instance_id, name), {})
    size = latest_size(days)
    return DatabaseRow(
        database_name=name,
        is_active=known.is_active,
        is_system=known.is_system,
        first_seen_date=known.first_seen_date,
        last_seen_date=known.last_seen_date,
        deleted_at=known.deleted_at,
        size=_marked(days, size) if size else None,
        latest=_marked(days, days[max(days)]) if days else None,
    )
