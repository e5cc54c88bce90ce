"""What a sync reads and writes, in memory."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from attrs import evolve, frozen

from capacity_adapters.memory.rows import (
    KnownDatabase,
    State,
    Work,
    latest_size,
    living,
)
from capacity_adapters.names import refuse_unstorable
from capacity_core.inventory import InventoryChange
from capacity_core.model import (
    MAX_BYTES,
    CapacityReport,
    Instance,
    LastSync,
    Moment,
    Outcome,
    Place,
)
from capacity_core.reads import InstanceDay, SizeRow


@frozen
class MemoryRepository:
    _work: Work

    def get_instance_and_databases(self, instance_id: int) -> tuple[Instance, Mapping[str, bool]]:
        return living(self._work.read(), instance_id), self.known_databases(instance_id)

    def known_databases(self, instance_id: int) -> Mapping[str, bool]:
        known = self._work.read().databases.get(instance_id, {})
        return {name: database.is_active for name, database in known.items()}

    def save_last_sync(self, instance_id: int, attempt: LastSync) -> Place:
        state = self._work.write()
        kept = evolve(living(state, instance_id), last_sync=attempt)
        state.instances[instance_id] = kept
        return kept.place

    def save_inventory(self, instance_id: int, change: InventoryChange, moment: Moment) -> None:
        refuse_unstorable(database.name for database in change.active)
        state = self._work.write()
        known = dict(state.databases.get(instance_id, {}))
        for seen in change.active:
            first = known[seen.name].first_seen_date if seen.name in known else moment.day
            known[seen.name] = KnownDatabase(
                is_active=True,
                is_system=seen.is_system,
                first_seen_date=first,
                last_seen_date=moment.day,
            )
        state.databases[instance_id] = known
        _deactivate(state, instance_id, change.deactivated, moment)

    def save_database_stats(self, instance_id: int, report: CapacityReport, moment: Moment) -> int:
        refuse_unstorable(size.name for size in report.sizes)
        refuse_unstorable(fate.name for fate in report.unmeasured)
        state = self._work.write()
        for size in report.sizes:
            row = SizeRow(
                database_name=size.name,
                collected_date=moment.day,
                size_bytes=size.size_bytes,
                data_size_bytes=size.data_size_bytes,
                log_size_bytes=size.log_size_bytes,
                method=size.method,
                collected_at=moment.at,
                last_outcome=size.outcome,
                last_attempt_at=moment.at,
                used_size_bytes=size.used_size_bytes,
                ceiling_bytes=size.ceiling_bytes,
                freshness=size.freshness,
                duration_ms=size.duration_ms,
                identity=size.identity,
            )
            _put_size(state, instance_id, row)
        for fate in report.unmeasured:
            days = state.sizes.get((instance_id, fate.name), {})
            unknown = SizeRow(
                fate.name, moment.day, None, None, None, None, None, fate.outcome, moment.at
            )
            row = days.get(moment.day, unknown)
            row = evolve(row, last_outcome=fate.outcome, last_attempt_at=moment.at)
            _put_size(state, instance_id, row)
        gone = {fate.name for fate in report.unmeasured if fate.outcome is Outcome.VANISHED}
        _deactivate(state, instance_id, gone, moment)
        return len(report.sizes)

    def update_instance_total_size(self, instance_id: int, moment: Moment) -> bool:
        state = self._work.write()
        active = [name for name, known in self.known_databases(instance_id).items() if known]
        total = carried = measured = 0
        for name in active:
            days = state.sizes.get((instance_id, name), {})
            today = days.get(moment.day)
            if today is not None and today.size_bytes is not None:
                total += today.size_bytes
                measured += 1
            elif (last := latest_size(days, moment.day)) is not None:
                carried += last.size_bytes or 0
        if total + carried > MAX_BYTES:
            return False
        row = InstanceDay(moment.day, total, carried, measured, len(active), moment.at)
        state.totals[instance_id] = {**state.totals.get(instance_id, {}), moment.day: row}
        return True


def _put_size(state: State, instance_id: int, row: SizeRow) -> None:
    key = (instance_id, row.database_name)
    state.sizes[key] = {**state.sizes.get(key, {}), row.collected_date: row}


def _deactivate(state: State, instance_id: int, names: AbstractSet[str], moment: Moment) -> None:
    known = dict(state.databases.get(instance_id, {}))
    for name in names & known.keys():
        if known[name].is_active:
            known[name] = evolve(known[name], is_active=False, deleted_at=moment.at)
    state.databases[instance_id] = known
