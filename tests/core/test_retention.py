"""What is too old goes, but not before what it amounts to is kept."""

from collections.abc import Collection
from datetime import date, timedelta

import pytest
from attrs import define, evolve, frozen
from tests.builders import NOON
from tests.stores import add_instance, on_day, sync

from capacity_adapters.memory import MemoryStore
from capacity_core.aggregation import (
    AggregationOutcome,
    AggregationStatus,
    Recomputation,
    summed_up,
)
from capacity_core.errors import InvalidInputError, NotAggregatedError
from capacity_core.growth import CapacityGrowth
from capacity_core.growth_reads import InstanceLabel
from capacity_core.periods import PeriodType, period_of
from capacity_core.reads import AggregateLevel, OldRows, Paging
from capacity_core.retention import CapacityRetention, Pruning, first_kept_day
from capacity_core.runs import Selection, Trigger

pytestmark = pytest.mark.unit
TODAY = NOON.date()
FIRST = -400


@pytest.mark.parametrize(
    ("age", "today", "first"),
    [
        ("24mo", date(2026, 11, 24), date(2024, 11, 24)),
        ("2y", date(2026, 11, 24), date(2024, 11, 24)),
        ("1y", date(2024, 2, 29), date(2023, 2, 28)),
        ("9mo", date(2025, 11, 30), date(2025, 2, 28)),
        ("12mo", date(2026, 12, 31), date(2025, 12, 31)),
        ("400d", date(2026, 11, 24), date(2025, 10, 20)),
        # The quarter that the running one compares with stays, however short the age.
        ("90d", date(2026, 11, 24), date(2026, 7, 1)),
        ("1d", date(2026, 1, 1), date(2025, 10, 1)),
        ("9999y", date(2026, 11, 24), date.min),
        ("99999mo", date(2026, 11, 24), date.min),
    ],
)
def test_an_age_is_counted_in_the_calendar(age: str, today: date, first: date) -> None:
    assert first_kept_day(age, today) == first


@pytest.mark.parametrize("age", ["", "24", "mo", "0d", "-1d", "1.5y", "24 mo", "1w", "123456d"])
def test_what_is_no_age_is_refused(age: str) -> None:
    with pytest.raises(InvalidInputError, match="90d, 24mo, 2y"):
        first_kept_day(age, TODAY)


@define
class Pauses:
    """Counts the pauses, or is killed in one."""

    count: int = 0
    killed_in: int = 0

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.killed_in:
            raise KeyboardInterrupt


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def retention(store: MemoryStore, pauses: Pauses) -> CapacityRetention:
    growth = CapacityGrowth(store.begin, lambda: NOON, "UTC", pauses)
    return CapacityRetention(store.begin, growth, batch_rows=50)


def filled(store: MemoryStore, name: str = "shop") -> int:
    """Keep a size that grows by one a day, 400 days until today."""
    instance_id = add_instance(store, name, port=5432 + len(store.state.instances))
    for number in range(FIRST, 1):
        sync(store, instance_id, {"a": 1000 + number}, on_day(number))
    return instance_id


def test_old_days_go_in_batches_and_others_may_write_in_between(store: MemoryStore) -> None:
    filled(store)
    pauses = Pauses()
    pruner = retention(store, pauses)
    before = TODAY - timedelta(days=200)
    there = (before - on_day(FIRST).day).days
    planned = pruner.plan("200d")
    assert planned == Pruning(before, OldRows(there - 1, there - 1))
    assert pruner.prune("200d") == planned
    assert pauses.count == 4  # 199 rows, 50 at a time
    assert pruner.prune("200d") == Pruning(before, OldRows())


def test_old_runs_go_as_well_one_at_a_time(store: MemoryStore) -> None:
    ids = [add_instance(store, name, port=port) for port, name in enumerate("ab", 5432)]
    pauses = Pauses()
    pruner = retention(store, pauses)
    ended = [on_day(FIRST), on_day(FIRST + 1), on_day(0)]
    for moment in ended:
        with store.begin() as work:
            run, _ = work.runs.start(
                Selection(), ids, trigger=Trigger.SCHEDULE, requested_by=None, now=moment.at
            )
            work.runs.cancel(run.id, moment.at)
            work.commit()
    assert pruner.plan("9999y").rows == OldRows()
    assert pruner.plan("200d").rows == pruner.prune("200d").rows == OldRows(runs=2)
    assert pauses.count == 2
    with store.begin() as work:
        [left] = work.runs.page(Paging()).rows
    assert left.finished_at == ended[2].at


def test_what_the_days_amount_to_is_kept_first_and_stays(store: MemoryStore) -> None:
    instance_id = filled(store)
    growth = CapacityGrowth(store.begin, lambda: NOON, "UTC")
    growth.aggregate(on_day(FIRST).day)
    whole = store.state.database_aggregates, store.state.instance_aggregates
    lasting = {key for key in whole[0] if key[-1].type is not PeriodType.DAILY}
    store.state.database_aggregates = {k: v for k, v in whole[0].items() if k not in lasting}
    store.state.instance_aggregates = {
        key: row for key, row in whole[1].items() if key[-1].type is PeriodType.DAILY
    }
    retention(store, Pauses()).prune("200d")
    growth.aggregate(on_day(FIRST).day)
    assert store.state.database_aggregates == whole[0]
    assert store.state.instance_aggregates == whole[1]
    quarter = period_of(PeriodType.QUARTERLY, TODAY - timedelta(days=200))
    assert (instance_id, "a", quarter) in whole[0]
    (outcome, _) = growth.aggregate(quarter.start, quarter.start, [PeriodType.QUARTERLY]).outcomes[
        :2
    ]
    assert outcome.reason is not None
    assert (outcome.status, outcome.reason.key) == ("skipped", "aggregation.pruned")


def test_an_instance_that_is_switched_off_loses_nothing_either(store: MemoryStore) -> None:
    instance_id = filled(store)
    with store.begin() as work:
        work.instances.save(evolve(work.instances.hold(instance_id), is_active=False))
        work.commit()
    retention(store, Pauses()).prune("200d")
    quarter = period_of(PeriodType.QUARTERLY, TODAY - timedelta(days=250))
    assert store.state.instance_aggregates[instance_id, quarter].data_count == quarter.days


def test_one_that_was_killed_is_run_again(store: MemoryStore) -> None:
    filled(store)
    with pytest.raises(KeyboardInterrupt):
        retention(store, Pauses(killed_in=2)).prune("200d")
    assert retention(store, Pauses()).plan("200d").rows == OldRows(99, 99)
    assert retention(store, Pauses()).prune("200d").rows == OldRows(99, 99)


@frozen
class FailingGrowth(CapacityGrowth):
    def aggregate(
        self,
        first: date | None = None,
        last: date | None = None,
        kinds: Collection[PeriodType] = tuple(PeriodType),
        instance_id: int | None = None,
    ) -> Recomputation:
        del last, kinds, instance_id
        period = period_of(PeriodType.WEEKLY, first or TODAY)
        label = InstanceLabel(1, "shop", "postgresql")
        failed = AggregationStatus.FAILED
        outcome = AggregationOutcome(label, AggregateLevel.DATABASE, period, failed, 0, None)
        return summed_up([outcome])


def test_nothing_goes_if_what_it_amounts_to_cannot_be_kept(store: MemoryStore) -> None:
    filled(store)
    growth = FailingGrowth(store.begin, lambda: NOON, "UTC")
    pruner = CapacityRetention(store.begin, growth)
    planned = pruner.plan("200d")
    with pytest.raises(NotAggregatedError, match=r"weekly aggregates from .* of instance shop"):
        pruner.prune("200d")
    assert pruner.plan("200d") == planned
    assert store.state.pruned_before is None


def test_an_empty_store_is_pruned_without_ado(store: MemoryStore) -> None:
    assert retention(store, Pauses()).prune("24mo").rows == OldRows()
    assert store.state.pruned_before is None
