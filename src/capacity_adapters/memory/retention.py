"""The end of days that are too old, in memory."""

from collections.abc import Mapping
from datetime import date
from typing import TypeVar

from attrs import frozen

from capacity_adapters.memory.rows import State, Work, latest_size
from capacity_core.reads import OldRows

Row = TypeVar("Row")


@frozen
class MemoryRetention:
    _work: Work

    def prunable(self, before: date) -> Mapping[int, OldRows]:
        state = self._work.read()
        counts = {
            owner: OldRows(
                len(_old_sizes(state, owner, before)), len(_old_days(state, owner, before))
            )
            for owner in state.instances
        }
        return {owner: count for owner, count in counts.items() if count != OldRows()}

    def oldest_day(self) -> date | None:
        state = self._work.read()
        histories = [*state.sizes.values(), *state.totals.values()]
        return min((day for days in histories for day in days), default=None)

    def delete_batch(self, instance_id: int, before: date, most: int) -> OldRows:
        state = self._work.write()
        state.pruned_before = max(before, state.pruned_before or before)
        sizes = _old_sizes(state, instance_id, before)[:most]
        for day, name in sizes:
            state.sizes[instance_id, name] = _without(state.sizes[instance_id, name], day)
        days = _old_days(state, instance_id, before)[:most]
        for day in days:
            state.totals[instance_id] = _without(state.totals[instance_id], day)
        return OldRows(len(sizes), len(days))

    def pruned_before(self) -> date | None:
        return self._work.read().pruned_before

    def hold(self) -> date | None:
        return self._work.write().pruned_before


def _without(days: Mapping[date, Row], gone: date) -> Mapping[date, Row]:
    return {day: row for day, row in days.items() if day != gone}


def _old_sizes(state: State, instance_id: int, before: date) -> list[tuple[date, str]]:
    """List the days of all databases but the last known one of each, oldest first."""
    old = []
    for (owner, name), rows in state.sizes.items():
        if owner == instance_id:
            kept = latest_size(rows, before)
            old += [(day, name) for day, row in rows.items() if day < before and row is not kept]
    return sorted(old)


def _old_days(state: State, instance_id: int, before: date) -> list[date]:
    """List the days that have a total but the last, oldest first."""
    return sorted(day for day in state.totals.get(instance_id, {}) if day < before)[:-1]
