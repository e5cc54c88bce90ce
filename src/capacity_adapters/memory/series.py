"""What a forecast is made of, in memory."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Final

from attrs import frozen

from capacity_adapters.memory.rows import State, Work, latest_size
from capacity_core.errors import NotFoundError
from capacity_core.growth_reads import SeriesDay, TotalDay, totals_of
from capacity_core.messages import text
from capacity_core.periods import PeriodType, period_of
from capacity_core.reads import SizeRow

_WHOLE: Final = ""  # the name that a limit of the instance itself is kept under


@frozen
class MemorySeries:
    _work: Work

    def database_series(
        self, instance_id: int, since: date, names: Collection[str]
    ) -> Mapping[str, Sequence[SeriesDay]]:
        found = {
            name: [
                SeriesDay(day, row.size_bytes, row.method, row.identity)
                for day, row in sorted(days.items())
                if day >= since and row.size_bytes is not None
            ]
            for name, days in _active(self._work.read(), instance_id).items()
            if name in names
        }
        return {name: days for name, days in found.items() if days}

    def instance_series(self, instance_id: int, since: date) -> Sequence[SeriesDay]:
        state = self._work.read()
        totals = state.totals.get(instance_id, {})
        days = [totals[day] for day in sorted(totals) if day >= since]
        changed = _changed(state, instance_id)
        return totals_of(
            TotalDay(
                row.collected_date,
                row.total_size_bytes + row.carried_size_bytes,
                row.active_count,
                is_break=_is_break(state, instance_id, row.collected_date),
                is_changed=row.collected_date in changed,
            )
            for row in days
        )

    def engine_ceilings(self, instance_id: int) -> Mapping[str, int]:
        found = {
            name: latest.ceiling_bytes
            for name, days in _active(self._work.read(), instance_id).items()
            if (latest := latest_size(days)) is not None
        }
        return {name: ceiling for name, ceiling in found.items() if ceiling is not None}


def _active(state: State, instance_id: int) -> Mapping[str, Mapping[date, SizeRow]]:
    known = state.databases.get(instance_id, {})
    return {
        name: state.sizes.get((instance_id, name), {})
        for name in sorted(known)
        if known[name].is_active
    }


def _changed(state: State, instance_id: int) -> AbstractSet[date]:
    created = {known.first_seen_date for known in state.databases.get(instance_id, {}).values()}
    return created | {
        period.start
        for (owner, _, period), row in state.database_aggregates.items()
        if owner == instance_id and period.type == PeriodType.DAILY and row.is_break
    }


def _is_break(state: State, instance_id: int, day: date) -> bool:
    aggregate = state.instance_aggregates.get((instance_id, period_of(PeriodType.DAILY, day)))
    return aggregate is not None and aggregate.is_break


@frozen
class MemoryLimits:
    _work: Work

    def set(self, instance_id: int, database_name: str | None, limit_bytes: int) -> None:
        limits = self._work.write().limits
        kept = limits.get(instance_id, {})
        limits[instance_id] = {**kept, database_name or _WHOLE: limit_bytes}

    def remove(self, instance_id: int, database_name: str | None) -> None:
        limits = self._work.write().limits
        kept = dict(limits.get(instance_id, {}))
        if kept.pop(database_name or _WHOLE, None) is None:
            raise NotFoundError(text("error.limit_missing"))
        limits[instance_id] = kept

    def all(self, instance_id: int) -> Mapping[str | None, int]:
        kept = self._work.read().limits.get(instance_id, {})
        return {name or None: kept[name] for name in sorted(kept)}
