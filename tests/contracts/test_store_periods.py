"""Weeks, months and quarters: whole averages, honest gaps, no growth across a break, no doubles."""

from datetime import date, timedelta

import pytest
from attrs import evolve
from tests.stores import (
    AnyStore,
    Found,
    add_instance,
    dialect_of,
    execute,
    forget_aggregates,
    instance_in,
    kept_aggregates,
    on_day,
    report_of,
    sync,
)

from capacity_adapters.store import Store
from capacity_core.errors import StoreError
from capacity_core.growth_reads import AggregateQuestion
from capacity_core.model import MAX_BYTES, DatabaseSize, Moment, Outcome
from capacity_core.periods import Period, PeriodType, period_of
from capacity_core.reads import AggregateLevel, Paging
from capacity_core.rollup import DatabaseAggregate, InstanceAggregate, Trend

MONDAY = date(2026, 6, 1)
WEEK = period_of(PeriodType.WEEKLY, MONDAY + timedelta(days=7))
BEFORE = WEEK.previous


def on(day: date) -> Moment:
    return Moment(on_day(0).at, day)


def keep(store: AnyStore, instance_id: int, days: dict[int, Found]) -> None:
    """Sync on days counted from the Monday of the week before."""
    for number, found in days.items():
        sync(store, instance_id, found, on(MONDAY + timedelta(days=number)))


def aggregate(store: AnyStore, period: Period, instance_id: int | None = None) -> None:
    with store.begin() as work:
        work.aggregator.aggregate_databases(period, instance_id)
        work.aggregator.aggregate_instances(period, instance_id)
        work.commit()


def refuse_updates(store: Store) -> None:
    """Let no row of an aggregate be written again."""
    refused = "BEGIN SELECT RAISE(ABORT, 'refused'); END"
    if dialect_of(store) == "postgresql":
        body = "BEGIN RAISE EXCEPTION 'refused'; END"
        execute(store, f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        refused = "FOR EACH ROW EXECUTE FUNCTION refuse()"
    for level in AggregateLevel:
        table = f"{level}_size_aggregations"
        execute(store, f"CREATE TRIGGER refuse_{level} BEFORE UPDATE ON {table} {refused}")


def a_week(
    store: AnyStore, instance_id: int, days: dict[int, Found], period: Period = WEEK
) -> tuple[dict[str, DatabaseAggregate], InstanceAggregate | None]:
    keep(store, instance_id, days)
    aggregate(store, period, instance_id)
    return kept_aggregates(store, instance_id, period)


def test_a_week_compares_its_average_with_the_week_before(
    store: AnyStore, instance_id: int
) -> None:
    databases, instance = a_week(
        store,
        instance_id,
        {
            0: {"a": DatabaseSize("a", 10, "m", 6)},
            6: {"a": DatabaseSize("a", 11, "m", 6)},
            7: {"a": DatabaseSize("a", 20, "m", 7)},
            9: {"a": DatabaseSize("a", 12, "m", 9, 1)},
            13: {"a": DatabaseSize("a", 15, "m", 8, 3)},
        },
    )
    change = 47 / 3 - 21 / 2
    percent = change * 100.0 / 10.5
    assert databases == {
        "a": DatabaseAggregate(
            data_count=3, size_sum_bytes=47, max_size_bytes=20, min_size_bytes=12,
            data_size_count=3, data_size_sum_bytes=24, max_data_size_bytes=9,
            min_data_size_bytes=7, log_size_count=2, log_size_sum_bytes=4,
            max_log_size_bytes=3, min_log_size_bytes=1, baseline_date=BEFORE.start,
            size_change_bytes=5, data_size_change_bytes=2, log_size_change_bytes=None,
            size_change_percent=percent, data_size_change_percent=2.0 * 100.0 / 6,
            log_size_change_percent=None, growth_rate=percent, is_break=False,
            first_size_bytes=20, last_size_bytes=15, trend_direction=Trend.GROWING,
        )
    }  # fmt: skip
    assert instance == InstanceAggregate(
        data_count=3, total_size_sum_bytes=47, max_total_size_bytes=20, min_total_size_bytes=12,
        measured_count_sum=3, active_count_sum=3, max_active_count=1, min_active_count=1,
        baseline_date=BEFORE.start, total_size_change_bytes=5, total_size_change_percent=percent,
        active_count_change=0, active_count_change_percent=0.0, growth_rate=percent,
        trend_direction=Trend.GROWING, is_break=False, first_total_size_bytes=20,
        last_total_size_bytes=15, partial_days=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "change"), [((1, 2), (2,), 1), ((2,), (1, 2), -1), ((1, 2), (1, 2), 0)]
)
def test_halves_are_rounded_away_from_nothing(
    store: AnyStore,
    instance_id: int,
    before: tuple[int, ...],
    after: tuple[int, ...],
    change: int,
) -> None:
    days: dict[int, Found] = {number: {"a": size} for number, size in enumerate(before)}
    days |= {7 + number: {"a": size} for number, size in enumerate(after)}
    databases, instance = a_week(store, instance_id, days)
    assert databases["a"].size_change_bytes == change
    assert instance is not None
    assert instance.total_size_change_bytes == change


def test_one_day_against_one_day_is_exact(store: AnyStore, instance_id: int) -> None:
    sizes: dict[int, Found] = {0: {"a": 2**60 + 1}, 7: {"a": 2**60 + 4}}
    databases, instance = a_week(store, instance_id, sizes)
    assert databases["a"].size_change_bytes == 3
    assert instance is not None
    assert instance.total_size_change_bytes == 3


def test_a_first_period_has_no_change_and_no_baseline(store: AnyStore, instance_id: int) -> None:
    days: dict[int, Found] = {0: {"a": Outcome.DENIED}, 7: {"a": 5}, 8: {"a": 7}}
    databases, instance = a_week(store, instance_id, days)
    row = databases["a"]
    assert (row.baseline_date, row.size_change_bytes, row.growth_rate) == (None, None, None)
    assert row.trend_direction is Trend.UNKNOWN
    # The instance has a total of the Monday, to which what became known later does not compare.
    assert instance is not None
    assert (instance.baseline_date, instance.is_break) == (BEFORE.start, True)
    assert (instance.total_size_change_bytes, instance.growth_rate) == (None, None)


def test_a_week_without_a_size_has_no_aggregate(store: AnyStore, instance_id: int) -> None:
    days: dict[int, Found] = {0: {"a": 5, "b": 5}, 7: {"a": Outcome.DENIED, "b": 6}}
    databases, instance = a_week(store, instance_id, days)
    assert set(databases) == {"b"}
    assert instance is not None
    assert (instance.total_size_change_bytes, instance.partial_days) == (1, 1)
    assert kept_aggregates(store, instance_id, WEEK.following) == ({}, None)


def test_a_database_denied_for_a_week_neither_grows_nor_shrinks_its_instance(
    store: AnyStore, instance_id: int
) -> None:
    days: dict[int, Found] = {day: {"a": 50, "b": 50} for day in range(7)}
    days |= {day: {"a": 50, "b": Outcome.DENIED} for day in range(7, 14)}
    databases, instance = a_week(store, instance_id, days)
    assert set(databases) == {"a"}
    assert instance is not None
    assert (instance.total_size_change_bytes, instance.trend_direction) == (0, Trend.STABLE)
    assert (instance.partial_days, instance.measured_count_sum) == (7, 7)


@pytest.mark.parametrize("at", [3, 7, 10])
def test_across_a_change_of_method_nothing_compares(
    store: AnyStore, instance_id: int, at: int
) -> None:
    days: dict[int, Found] = {
        day: {"a": DatabaseSize("a", 5, "new" if day >= at else "old"), "b": 9} for day in range(14)
    }
    databases, instance = a_week(store, instance_id, days)
    row = databases["a"]
    assert (row.is_break, row.size_change_bytes, row.growth_rate) == (True, None, None)
    assert row.baseline_date == BEFORE.start
    assert databases["b"].size_change_bytes == 0
    assert instance is not None
    assert (instance.is_break, instance.total_size_change_bytes) == (True, None)
    assert instance.active_count_change == 0


def test_a_method_that_came_and_went_is_a_break_all_the_same(
    store: AnyStore, instance_id: int
) -> None:
    days: dict[int, Found] = {
        day: {"a": DatabaseSize("a", 5, "odd" if day == 9 else "m")} for day in range(14)
    }
    databases, instance = a_week(store, instance_id, days)
    assert databases["a"].is_break
    assert instance is not None
    assert instance.is_break


def test_a_break_is_over_when_both_periods_are_of_one_series(
    store: AnyStore, instance_id: int
) -> None:
    days: dict[int, Found] = {
        day: {"a": DatabaseSize("a", 5, "new" if day >= 7 else "old")} for day in range(21)
    }
    databases, instance = a_week(store, instance_id, days, WEEK.following)
    assert (databases["a"].is_break, databases["a"].size_change_bytes) == (False, 0)
    assert instance is not None
    assert (instance.is_break, instance.total_size_change_bytes) == (False, 0)


@pytest.mark.parametrize("kind", [PeriodType.WEEKLY, PeriodType.MONTHLY])
@pytest.mark.parametrize("is_running", [False, True])
def test_a_method_that_changes_behind_carried_days_breaks_the_instance(
    store: AnyStore, instance_id: int, kind: PeriodType, *, is_running: bool
) -> None:
    period = period_of(kind, date(2026, 3, 15))
    fates: dict[date, DatabaseSize | Outcome] = {
        period.previous.previous.end: DatabaseSize("a", 1000, "my.tables"),
        period.previous.start: Outcome.DENIED,
        period.previous.end: Outcome.DENIED,
        period.start: DatabaseSize("a", 2000, "my.innodb_files"),
        period.end: DatabaseSize("a", 2000, "my.innodb_files"),
    }
    for day, fate in fates.items():
        sync(store, instance_id, {"a": fate, "b": 10}, on(day))
    if is_running:
        question = AggregateQuestion(period_type=kind, today=period.end, paging=Paging(1, 9))
        with store.begin() as work:
            instance = work.growth.instance_growth(question).rows[0].aggregate
    else:
        aggregate(store, period, instance_id)
        kept = kept_aggregates(store, instance_id, period)[1]
        assert kept is not None
        instance = kept
    assert (instance.baseline_date, instance.is_break) == (period.previous.start, True)
    assert (instance.total_size_change_bytes, instance.trend_direction) == (None, Trend.UNKNOWN)


def test_a_break_before_the_period_before_is_over(store: AnyStore, instance_id: int) -> None:
    days: dict[int, Found] = {
        -3: {"a": DatabaseSize("a", 1, "old")},
        2: {"a": DatabaseSize("a", 5, "new")},
        7: {"a": DatabaseSize("a", 6, "new")},
    }
    instance = a_week(store, instance_id, days)[1]
    assert instance is not None
    assert (instance.is_break, instance.total_size_change_bytes) == (False, 1)


def test_a_database_made_anew_breaks_its_own_series_and_no_total(
    store: AnyStore, instance_id: int
) -> None:
    identities = {0: "16384", 3: None, 8: "16385", 9: None}
    days: dict[int, Found] = {
        day: {"a": DatabaseSize("a", 5, "m", identity=identity)}
        for day, identity in identities.items()
    }
    databases, instance = a_week(store, instance_id, days)
    assert (databases["a"].is_break, databases["a"].size_change_bytes) == (True, None)
    assert instance is not None
    assert (instance.is_break, instance.total_size_change_bytes) == (False, 0)


def test_an_unknown_identity_is_no_other(store: AnyStore, instance_id: int) -> None:
    identities = {0: "16384", 3: None, 8: "16384", 9: None}
    days: dict[int, Found] = {
        day: {"a": DatabaseSize("a", 5, "m", identity=identity)}
        for day, identity in identities.items()
    }
    assert not a_week(store, instance_id, days)[0]["a"].is_break


@pytest.mark.parametrize("kind", [PeriodType.MONTHLY, PeriodType.QUARTERLY])
def test_longer_periods_end_where_the_calendar_says(
    store: AnyStore, instance_id: int, kind: PeriodType
) -> None:
    period = period_of(kind, date(2026, 7, 1))
    for day, size in (
        (period.previous.start - timedelta(days=1), 1000),
        (period.previous.start, 10),
        (period.previous.end, 20),
        (period.start, 30),
        (period.end, 40),
        (period.end + timedelta(days=1), 1000),
    ):
        sync(store, instance_id, {"a": size}, on(day))
    aggregate(store, period, instance_id)
    databases, instance = kept_aggregates(store, instance_id, period)
    row = databases["a"]
    assert (row.data_count, row.size_sum_bytes, row.size_change_bytes) == (2, 70, 20)
    assert (row.first_size_bytes, row.last_size_bytes) == (30, 40)
    assert instance is not None
    assert (instance.first_total_size_bytes, instance.last_total_size_bytes) == (30, 40)
    assert instance.total_size_change_bytes == 20


def test_what_adds_up_to_more_than_64_bits_costs_only_its_own_row(
    store: AnyStore, instance_id: int
) -> None:
    days: dict[int, Found] = {
        0: {"a": MAX_BYTES - 9, "b": 1},
        1: {"a": MAX_BYTES - 9, "b": 1},
        7: {"a": MAX_BYTES - 9, "b": 2},
        8: {"a": MAX_BYTES - 9, "b": 2},
        14: {"a": 5, "b": 2},
    }
    databases, instance = a_week(store, instance_id, days)
    assert ({*databases}, databases["b"].size_change_bytes, instance) == ({"b"}, 1, None)
    aggregate(store, WEEK.following, instance_id)
    databases, instance = kept_aggregates(store, instance_id, WEEK.following)
    assert databases["a"].size_change_bytes == -(2**63)
    assert instance is not None


def test_the_largest_size_after_a_whole_week_of_nothing_has_no_row(
    store: AnyStore, instance_id: int
) -> None:
    days: dict[int, Found] = {0: {"a": 0, "b": 1}, 1: {"a": 0, "b": 1}, 7: {"a": MAX_BYTES, "b": 0}}
    databases, instance = a_week(store, instance_id, days)
    assert ({*databases}, instance) == ({"b"}, None)


@pytest.mark.parametrize("kind", list(PeriodType))
def test_the_fleet_is_every_instance_that_is_followed(store: AnyStore, kind: PeriodType) -> None:
    ids = {name: add_instance(store, name, port=port) for port, name in enumerate("xyzw", 1)}
    day = on_day(9).day
    period = period_of(kind, day)
    for size, instance_id in enumerate(ids.values(), 1):
        sync(store, instance_id, {"a": size, "b": 10}, on(period.previous.end))
        sync(store, instance_id, {"a": 2 * size, "b": 10}, on(day))
    with store.begin() as work:
        work.instances.save(evolve(instance_in(store, ids["z"]), is_active=False))
        work.instances.save(evolve(instance_in(store, ids["w"]), deleted_at=on_day(9).at))
        work.commit()
    expected = {}
    for name in "xy":
        aggregate(store, period, ids[name])
        expected[name] = kept_aggregates(store, ids[name], period)
    forget_aggregates(store)
    aggregate(store, period)
    assert {name: kept_aggregates(store, ids[name], period) for name in "xy"} == expected
    assert expected["y"][0]["a"].size_change_bytes == 2
    with store.begin() as work:
        databases = work.aggregator.aggregated(AggregateLevel.DATABASE, period)
        instances = work.aggregator.aggregated(AggregateLevel.INSTANCE, period)
        one = work.aggregator.aggregated(AggregateLevel.DATABASE, period, ids["x"])
    assert databases == {ids["x"]: 2, ids["y"]: 2}
    assert instances == {ids["x"]: 1, ids["y"]: 1}
    assert one == {ids["x"]: 2}


def test_an_instance_that_is_asked_for_need_not_be_followed(
    store: AnyStore, instance_id: int
) -> None:
    with store.begin() as work:
        work.instances.save(evolve(instance_in(store, instance_id), is_active=False))
        work.commit()
    assert set(a_week(store, instance_id, {7: {"a": 5}})[0]) == {"a"}


def test_a_corrected_day_updates_its_period_and_the_one_after(
    store: AnyStore, instance_id: int
) -> None:
    keep(store, instance_id, {0: {"a": 5}, 7: {"a": 7}})
    for period in (BEFORE, WEEK):
        aggregate(store, period, instance_id)
    with store.begin() as work:
        work.repository.save_database_stats(instance_id, report_of({"a": 6}), on(MONDAY))
        work.commit()
    for period in (BEFORE, WEEK):
        aggregate(store, period, instance_id)
    assert kept_aggregates(store, instance_id, BEFORE)[0]["a"].size_sum_bytes == 6
    assert kept_aggregates(store, instance_id, WEEK)[0]["a"].size_change_bytes == 1


@pytest.mark.parametrize("kind", list(PeriodType))
def test_a_second_run_writes_nothing(real_store: Store, kind: PeriodType) -> None:
    instance_id = add_instance(real_store)
    days: dict[int, Found] = {
        day: {"a": 5 * day, "b": DatabaseSize("b", 9, "m", 3, 1)} for day in range(0, 60, 3)
    }
    keep(real_store, instance_id, days)
    period = period_of(kind, MONDAY + timedelta(days=45))
    aggregate(real_store, period, instance_id)
    refuse_updates(real_store)
    aggregate(real_store, period, instance_id)
    aggregate(real_store, period)
    with real_store.begin() as work:
        corrected = report_of({"a": 1})
        work.repository.save_database_stats(instance_id, corrected, on(period.start))
        with pytest.raises(StoreError):
            work.aggregator.aggregate_databases(period)


def test_whatever_fails_is_undone_alone(real_store: Store) -> None:
    instance_id = add_instance(real_store)
    keep(real_store, instance_id, {7: {"a": 5}})
    execute(real_store, "ALTER TABLE instance_size_stats RENAME TO elsewhere")
    with real_store.begin() as work:
        work.aggregator.aggregate_databases(WEEK)
        with pytest.raises(StoreError):
            work.aggregator.aggregate_instances(WEEK)
        work.commit()
    assert set(kept_aggregates(real_store, instance_id, WEEK)[0]) == {"a"}
