"""What a recomputation does for each instance and period, whatever another one meets."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta

import pytest
from attrs import evolve, frozen
from tests.builders import NOON
from tests.stores import add_instance, on_day, sync

from capacity_adapters.memory import MemoryStore
from capacity_adapters.memory.aggregator import MemoryAggregator
from capacity_core.aggregation import AggregationOutcome, AggregationService, AggregationStatus
from capacity_core.errors import InvalidInputError, NotFoundError, StoreError
from capacity_core.growth import EARLIEST_DAY, MAX_DAYS, CapacityGrowth
from capacity_core.messages import Language, render, text
from capacity_core.periods import Period, PeriodType, last_complete, period_of
from capacity_core.reads import AggregateLevel

pytestmark = pytest.mark.unit

TODAY = NOON.date()  # a Tuesday
WEEKLY, MONTHLY = PeriodType.WEEKLY, PeriodType.MONTHLY
LAST_WEEK = last_complete(WEEKLY, TODAY)
BOTH = list(AggregateLevel)


@frozen
class Breaking(MemoryAggregator):
    """A store that fails for some instances at one level, and so for all at once."""

    broken: Sequence[int] = ()
    level: AggregateLevel = AggregateLevel.DATABASE

    def aggregate_databases(self, period: Period, instance_id: int | None = None) -> None:
        self._meet(AggregateLevel.DATABASE, instance_id)
        super().aggregate_databases(period, instance_id)

    def aggregate_instances(self, period: Period, instance_id: int | None = None) -> None:
        self._meet(AggregateLevel.INSTANCE, instance_id)
        super().aggregate_instances(period, instance_id)

    def _meet(self, level: AggregateLevel, instance_id: int | None) -> None:
        if level is self.level and (instance_id is None or instance_id in self.broken):
            raise StoreError(text("store.failed", where="here"))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def growth(store: MemoryStore) -> CapacityGrowth:
    return CapacityGrowth(store.begin, lambda: NOON, "UTC")


def known(store: MemoryStore, name: str, *days: int) -> int:
    """Add an instance with a size on those days, counted from today."""
    instance_id = add_instance(store, name, port=5432 + len(store.state.instances))
    for day in days:
        sync(store, instance_id, {"a": 10, "b": 20}, on_day(day))
    return instance_id


@contextmanager
def a_service(
    store: MemoryStore, *broken: int, level: AggregateLevel = AggregateLevel.DATABASE
) -> Iterator[AggregationService]:
    with store.begin() as work:
        aggregator = Breaking(work, broken, level) if broken else work.aggregator
        yield AggregationService(aggregator, work.instances, TODAY)
        work.commit()


def told(outcomes: Sequence[AggregationOutcome]) -> list[tuple[int, str, str, int, str | None]]:
    return [
        (
            outcome.instance.id,
            str(outcome.level),
            str(outcome.status),
            outcome.aggregate_count,
            outcome.reason.key if outcome.reason else None,
        )
        for outcome in outcomes
    ]


def test_each_instance_is_completed_or_skipped_where_nothing_is_known(store: MemoryStore) -> None:
    empty, shop = known(store, "empty"), known(store, "shop", -7)
    with a_service(store) as service:
        outcomes = service.calculate_period(LAST_WEEK)
        assert outcomes == (
            *service.calculate_database_aggregations(LAST_WEEK),
            *service.calculate_aggregations(LAST_WEEK),
        )
    nothing = "aggregation.nothing_known"
    assert told(outcomes) == [
        (empty, "database", "skipped", 0, nothing),
        (shop, "database", "completed", 2, None),
        (empty, "instance", "skipped", 0, nothing),
        (shop, "instance", "completed", 1, None),
    ]
    assert {outcome.instance.name for outcome in outcomes} == {"shop", "empty"}
    assert {outcome.period for outcome in outcomes} == {LAST_WEEK}
    assert (shop, LAST_WEEK) in store.state.instance_aggregates


def test_an_instance_is_aggregated_alone_in_the_words_for_it(store: MemoryStore) -> None:
    shop, other = known(store, "shop", -7), known(store, "other", -7)
    with a_service(store) as service:
        day = TODAY - timedelta(days=7)
        outcomes = [
            service.calculate_daily_database_aggregations_for_instance(shop, day),
            service.calculate_daily_aggregations_for_instance(shop, day),
            service.calculate_database_aggregations_for_instance(shop, LAST_WEEK),
            service.calculate_aggregations_for_instance(shop, LAST_WEEK),
        ]
    assert [(outcome.level, outcome.period.type) for outcome in outcomes] == [
        (level, kind) for kind in (PeriodType.DAILY, WEEKLY) for level in BOTH
    ]
    assert {outcome.status for outcome in outcomes} == {AggregationStatus.COMPLETED}
    assert (shop, LAST_WEEK) in store.state.instance_aggregates
    assert (other, LAST_WEEK) not in store.state.instance_aggregates


def test_a_running_period_is_skipped_but_today_is_not(store: MemoryStore) -> None:
    shop = known(store, "shop", 0)
    with a_service(store) as service:
        for kind in PeriodType:
            outcomes = service.calculate_period(period_of(kind, TODAY))
            status = "completed" if kind is PeriodType.DAILY else "skipped"
            assert {outcome.status for outcome in outcomes} == {status}, kind
        assert {outcome.reason for outcome in outcomes} == {text("aggregation.running")}
    assert {of.type for owner, of in store.state.instance_aggregates} == {PeriodType.DAILY}
    assert (shop, period_of(WEEKLY, TODAY)) not in store.state.instance_aggregates


def test_removed_and_disabled_instances_are_not_among_all(store: MemoryStore) -> None:
    shop, off, gone = (known(store, name, -7) for name in ("shop", "off", "gone"))
    with store.begin() as work:
        work.instances.save(evolve(work.instances.get(off), is_active=False))
        work.instances.save(evolve(work.instances.get(gone), is_active=False, deleted_at=NOON))
        work.commit()
    with a_service(store) as service:
        assert {outcome.instance.id for outcome in service.calculate_period(LAST_WEEK)} == {shop}
        alone = service.calculate_period(LAST_WEEK, off)
        with pytest.raises(NotFoundError):
            service.calculate_period(LAST_WEEK, gone)
    assert told(alone) == [
        (off, "database", "completed", 2, None),
        (off, "instance", "completed", 1, None),
    ]


def test_every_page_of_instances_is_aggregated(store: MemoryStore) -> None:
    ids = [known(store, f"i{number}") for number in range(201)]
    with a_service(store) as service:
        outcomes = service.calculate_aggregations(LAST_WEEK)
    assert sorted(outcome.instance.id for outcome in outcomes) == ids


def test_databases_that_fail_fail_their_instance_and_no_other(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = known(store, "bad", -7), known(store, "good", -7)
    with a_service(store, bad) as service:
        outcomes = service.calculate_period(LAST_WEEK)
    assert told(outcomes) == [
        (bad, "database", "failed", 0, "aggregation.failed"),
        (good, "database", "completed", 2, None),
        (bad, "instance", "failed", 0, "aggregation.databases_failed"),
        (good, "instance", "completed", 1, None),
    ]
    assert (good, LAST_WEEK) in store.state.instance_aggregates
    assert (bad, LAST_WEEK) not in store.state.instance_aggregates
    assert f"instance {bad}" in caplog.text
    assert "StoreError" in caplog.text


def test_a_day_of_an_instance_needs_no_aggregate_of_its_databases(store: MemoryStore) -> None:
    bad, good = known(store, "bad", -1), known(store, "good", -1)
    with a_service(store, bad) as service:
        outcomes = service.calculate_period(period_of(PeriodType.DAILY, on_day(-1).day))
    assert [(each.instance.id, each.status) for each in outcomes] == [
        (bad, "failed"),
        (good, "completed"),
        (bad, "completed"),
        (good, "completed"),
    ]


def test_totals_that_fail_leave_the_databases_kept(store: MemoryStore) -> None:
    bad, good = known(store, "bad", -7), known(store, "good", -7)
    with a_service(store, bad, level=AggregateLevel.INSTANCE) as service:
        outcomes = service.calculate_period(LAST_WEEK)
    assert [outcome.status for outcome in outcomes] == [
        "completed",
        "completed",
        "failed",
        "completed",
    ]
    assert (bad, "a", LAST_WEEK) in store.state.database_aggregates
    assert (good, LAST_WEEK) in store.state.instance_aggregates


@pytest.mark.parametrize("language", Language)
def test_every_reason_is_said_in_both_languages(store: MemoryStore, language: Language) -> None:
    bad, _ = known(store, "bad"), known(store, "good")
    with a_service(store, bad) as service:
        outcomes = [
            *service.calculate_period(LAST_WEEK),
            *service.calculate_period(period_of(WEEKLY, TODAY)),
        ]
    said = {render(each.reason, language) for each in outcomes if each.reason}
    assert len(said) == 4


# The range.


def periods_of(outcomes: Sequence[AggregationOutcome], kind: PeriodType) -> list[date]:
    return sorted({each.period.start for each in outcomes if each.period.type is kind})


def test_a_range_is_every_period_that_holds_a_day_of_it_and_the_one_after(
    store: MemoryStore, growth: CapacityGrowth
) -> None:
    known(store, "shop")
    outcomes = growth.aggregate(date(2025, 12, 30), date(2026, 1, 3)).outcomes
    assert periods_of(outcomes, PeriodType.DAILY) == [
        date(2025, 12, 30) + timedelta(days=number) for number in range(6)
    ]
    assert periods_of(outcomes, WEEKLY) == [date(2025, 12, 29), date(2026, 1, 5)]
    assert periods_of(outcomes, MONTHLY) == [date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1)]
    assert periods_of(outcomes, PeriodType.QUARTERLY) == [
        date(2025, 10, 1), date(2026, 1, 1),
    ]  # fmt: skip
    assert [outcome.level for outcome in outcomes[:2]] == BOTH


def test_without_dates_it_is_the_last_complete_period_until_today(
    store: MemoryStore, growth: CapacityGrowth
) -> None:
    shop = known(store, "shop", -100, -20, -7, -1, 0)
    outcomes = growth.aggregate().outcomes
    assert growth.today == TODAY
    for kind in PeriodType:
        last = last_complete(kind, TODAY)
        assert periods_of(outcomes, kind) == [last.start, last.following.start], kind
        assert (shop, last) in store.state.instance_aggregates
        assert (shop, "b", last) in store.state.database_aggregates
    assert growth.aggregate(last=TODAY + timedelta(days=400)).outcomes == outcomes


def test_a_late_day_arrives_in_the_periods_around_it(
    store: MemoryStore, growth: CapacityGrowth
) -> None:
    shop = known(store, "shop", -7)
    growth.aggregate()
    before = store.state.instance_aggregates[shop, LAST_WEEK]
    assert (before.data_count, before.total_size_change_bytes) == (1, None)
    day = on_day(-14)
    sync(store, shop, {"a": 10, "b": 10}, day)
    assert store.state.instance_aggregates[shop, LAST_WEEK] == before
    growth.aggregate(day.day, day.day, [WEEKLY])
    assert store.state.instance_aggregates[shop, LAST_WEEK].total_size_change_bytes == 10
    assert (shop, LAST_WEEK.previous) in store.state.instance_aggregates
    assert (shop, period_of(MONTHLY, day.day)) not in store.state.instance_aggregates


def test_one_instance_and_some_kinds_may_be_named(
    store: MemoryStore, growth: CapacityGrowth
) -> None:
    shop, other = known(store, "shop", -7), known(store, "other", -7)
    outcomes = growth.aggregate(TODAY, TODAY, [WEEKLY], shop).outcomes
    assert {(each.instance.id, each.period.type) for each in outcomes} == {(shop, WEEKLY)}
    with pytest.raises(NotFoundError):
        growth.aggregate(instance_id=other + 1)


def test_others_may_write_between_the_periods_of_a_long_recomputation(store: MemoryStore) -> None:
    shop = known(store, "shop", -7)
    pauses: list[int] = []

    def pause() -> None:
        sync(store, shop, {"a": 10, "b": 10}, on_day(-7 - len(pauses)))
        pauses.append(1)

    hasty = CapacityGrowth(store.begin, lambda: NOON, "UTC", pause)
    assert len(hasty.aggregate(kinds=[WEEKLY]).outcomes) == 4
    assert not pauses
    evolve(hasty, work_seconds=0).aggregate(kinds=[WEEKLY])
    assert len(pauses) == 2


def test_a_range_has_bounds(growth: CapacityGrowth) -> None:
    first = TODAY - timedelta(days=MAX_DAYS - 1)
    assert growth.aggregate(first, TODAY).outcomes == ()
    assert growth.aggregate(EARLIEST_DAY, EARLIEST_DAY).outcomes == ()
    for start, end, field in [
        (TODAY, TODAY - timedelta(days=1), "end_date"),
        (first - timedelta(days=1), None, "start_date"),
        (EARLIEST_DAY - timedelta(days=1), EARLIEST_DAY, "start_date"),
        (date.min, date.min, "start_date"),
        (None, date.min, "start_date"),
        (TODAY, date.min, "end_date"),
        (TODAY, date.max, "start_date"),
        (TODAY + timedelta(days=1), None, "start_date"),
        (TODAY + timedelta(days=1), TODAY + timedelta(days=9), "start_date"),
    ]:
        with pytest.raises(InvalidInputError) as refused:
            growth.aggregate(start, end)
        assert refused.value.field == field, (start, end)


def test_today_is_the_service_zone_s(store: MemoryStore) -> None:
    late = CapacityGrowth(store.begin, lambda: NOON, "Pacific/Kiritimati")
    assert late.today == TODAY + timedelta(days=1)
