"""Whatever was measured, lost, corrected, and in whatever order: aggregates are those of an oracle.

The oracle knows nothing of the code's formulas: it counts days by their label, and in fractions.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import date, timedelta
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.builders import NOON
from tests.properties.test_stores_agree import named
from tests.servers import Server
from tests.stores import AnyStore, Found, add_instance, copied_sqlite, new_database, sync

from capacity_adapters.memory import MemoryStore
from capacity_adapters.store import open_store
from capacity_core.growth import CapacityGrowth
from capacity_core.growth_reads import AggregateQuestion
from capacity_core.growth_views import (
    DatabaseGrowthView,
    InstanceGrowthView,
    database_growth_view,
    instance_growth_view,
)
from capacity_core.model import DatabaseSize, Moment, Outcome
from capacity_core.periods import PeriodType
from capacity_core.reads import DatabaseRow, Paging

FIRST: Final = date(2026, 3, 18)  # a Wednesday; in its span a week, a month and a quarter end
SPAN: Final = 26
AFTERWARDS: Final = NOON.replace(month=12)
ALL: Final = Paging(1, 200)
DAY: Final = timedelta(days=1)
NUMBERS: Final = count(1)
LABELS: Final[Mapping[PeriodType, Callable[[date], object]]] = {
    PeriodType.DAILY: lambda day: day,
    PeriodType.WEEKLY: lambda day: day.isocalendar()[:2],
    PeriodType.MONTHLY: lambda day: (day.year, day.month),
    PeriodType.QUARTERLY: lambda day: (day.year, "111222333444"[day.month - 1]),
}

BYTES = st.integers(0, 50) | st.integers(0, 2**50)
PARTS = st.none() | BYTES
FATES = st.just(Outcome.DENIED) | st.builds(
    DatabaseSize,
    st.just(""),
    BYTES,
    st.sampled_from("mmmmn"),
    PARTS,
    PARTS,
    identity=st.sampled_from([None, "1", "1", "1", "2"]),
)
EVENTS = st.lists(
    st.tuples(st.integers(0, SPAN - 1), st.dictionaries(st.sampled_from("abc"), FATES, max_size=3)),
    min_size=1,
    max_size=14,
)

FIGURES: Final = (
    "avg_size_bytes",
    "max_size_bytes",
    "min_size_bytes",
    "first_size_bytes",
    "last_size_bytes",
    "size_change_bytes",
    "size_change_percent",
)
SHARED: Final = ("data_count", "baseline_date", "is_break", "growth_rate", "trend_direction")


@frozen
class Expected:
    """What the oracle says of one series over one period; changes are exact."""

    sizes: Sequence[int]
    baseline: date | None
    change: Fraction | None
    percent: Fraction | None
    is_break: bool

    @property
    def average(self) -> Fraction:
        return Fraction(sum(self.sizes), len(self.sizes))


Key = tuple[str, date]
Known = Mapping[date, DatabaseSize]
Told = Mapping[Key, Expected]
Figures = tuple[Any, ...]


def known_sizes(events: Sequence[tuple[int, Found]]) -> dict[str, dict[date, DatabaseSize]]:
    """Give each database's days: the latest size of a day counts, and nothing erases it."""
    known: dict[str, dict[date, DatabaseSize]] = {}
    for number, found in events:
        for name, fate in found.items():
            if isinstance(fate, DatabaseSize):
                known.setdefault(name, {})[FIRST + number * DAY] = fate
    return known


def span_of(kind: PeriodType, day: date) -> list[date]:
    """List the calendar's days that have the label of that day."""
    around = (day + number * DAY for number in range(-100, 101))
    return [each for each in around if LABELS[kind](each) == LABELS[kind](day)]


def days_of(kind: PeriodType, days: Sequence[date]) -> dict[date, tuple[list[date], list[date]]]:
    """Sort known days by the first day of their period; beside them those they compare with."""
    sorted_days: dict[date, tuple[list[date], list[date]]] = {}
    for day in sorted(days):
        span = span_of(kind, day)
        if kind is PeriodType.DAILY:
            before = [each for each in sorted(days) if each < day][-1:]
        else:
            label = LABELS[kind](span[0] - DAY)
            before = [each for each in sorted(days) if LABELS[kind](each) == label]
        sorted_days.setdefault(span[0], ([], before))[0].append(day)
    return sorted_days


def compared(
    kind: PeriodType,
    start: date,
    now: Sequence[int],
    before: Mapping[date, int],
    *,
    is_break: bool,
) -> Expected:
    baseline = None
    if before:
        label = start - DAY
        baseline = max(before) if kind is PeriodType.DAILY else span_of(kind, label)[0]
    if not before or is_break:
        return Expected(now, baseline, None, None, is_break)
    previous = Fraction(sum(before.values()), len(before))
    change = Fraction(sum(now), len(now)) - previous
    return Expected(now, baseline, change, change * 100 / previous if previous else None, is_break)


def expected_databases(kind: PeriodType, known: Mapping[str, Known]) -> Told:
    told = {}
    for name, sizes in known.items():
        for start, (now, before) in days_of(kind, list(sizes)).items():
            every = [sizes[day] for day in (*now, *before)]
            identities = {each.identity for each in every if each.identity is not None}
            told[name, start] = compared(
                kind,
                start,
                [sizes[day].size_bytes for day in now],
                {day: sizes[day].size_bytes for day in before},
                is_break=len({each.method for each in every}) > 1 or len(identities) > 1,
            )
    return told


def expected_instance(
    kind: PeriodType,
    known: Mapping[str, Known],
    totals: Mapping[date, int],
    inventory: Sequence[DatabaseRow],
) -> Told:
    told = {}
    broken = [
        (day, before[0])
        for day, (_, before) in days_of(PeriodType.DAILY, list(totals)).items()
        if before and any(_counts_anew(each, known, day, before[0]) for each in inventory)
    ]
    for start, (now, before) in days_of(kind, list(totals)).items():
        since, end = (
            (before[0] if before else start, start)
            if kind is PeriodType.DAILY
            else (span_of(kind, start - DAY)[0], span_of(kind, start)[-1])
        )
        breaks = [
            any(since <= baseline and day <= end for day, baseline in broken),
            *(_changes_method(kind, sizes, start) for sizes in known.values()),
        ]
        told["", start] = compared(
            kind,
            start,
            [totals[day] for day in now],
            {day: totals[day] for day in before},
            is_break=any(breaks),
        )
    return told


def _changes_method(kind: PeriodType, sizes: Known, start: date) -> bool:
    if kind is PeriodType.DAILY:
        return False
    now, before = (
        [sizes[day].method for day in span_of(kind, each) if day in sizes]
        for each in (start, start - DAY)
    )
    return bool(now) and len({*now, *before}) > 1


def _counts_anew(
    database: DatabaseRow, known: Mapping[str, Known], day: date, baseline: date
) -> bool:
    """Say whether the day has a size that compares with none that counted on the baseline day."""
    sizes = known.get(database.database_name, {})
    before = [sizes[each].method for each in sorted(sizes) if each <= baseline][-1:]
    if day not in sizes:
        return False
    return before != [sizes[day].method] if before else database.first_seen_date <= baseline


def check(store: AnyStore, instance_id: int, known: Mapping[str, Known]) -> None:
    """Hold every aggregate of every kind against the oracle's."""
    growth = CapacityGrowth(store.begin, lambda: AFTERWARDS, "UTC")
    with store.begin() as work:
        days = work.reads.instance_days(instance_id, ALL).rows
        inventory = work.reads.databases(instance_id, ALL).rows
    totals = {day.collected_date: day.total_size_bytes + day.carried_size_bytes for day in days}
    for kind in PeriodType:
        question = AggregateQuestion(
            period_type=kind, today=growth.today, instance_ids=(instance_id,), paging=ALL
        )
        databases = {
            (row.database_name, row.period.start): figures_of(
                database_growth_view(row, growth.today)
            )
            for row in growth.database_growth(question).rows
        }
        assert_alike(databases, expected_databases(kind, known))
        instances = {
            ("", row.period.start): figures_of(instance_growth_view(row, growth.today))
            for row in growth.instance_growth(question).rows
        }
        assert_alike(instances, expected_instance(kind, known, totals, inventory))


def figures_of(view: DatabaseGrowthView | InstanceGrowthView) -> Figures:
    """Give what both levels say, in one order."""
    names = (
        [name.replace("size", "total_size") for name in FIGURES]
        if isinstance(view, InstanceGrowthView)
        else FIGURES
    )
    return tuple(getattr(view, name) for name in (*names, *SHARED))


def assert_alike(told: Mapping[Key, Figures], expected: Told) -> None:
    assert told.keys() == expected.keys()
    for key, said in expected.items():
        average, largest, smallest, first, last, change, percent, *shared = told[key]
        sizes = said.sizes
        assert (largest, smallest, first, last) == (max(sizes), min(sizes), sizes[0], sizes[-1])
        assert average == pytest.approx(float(said.average), rel=1e-9, abs=0.5)
        assert (change is None, percent is None) == (said.change is None, said.percent is None)
        if change is not None:
            assert change == pytest.approx(
                float(said.change or 0), rel=1e-9, abs=0.5 + 1e-15 * max(sizes)
            )
        if percent is not None:
            assert percent == pytest.approx(float(said.percent or 0), rel=1e-6, abs=1e-6)
        baseline = said.baseline and said.baseline.isoformat()
        assert shared == [len(sizes), baseline, said.is_break, percent, trend(percent)]


def trend(percent: float | None) -> str:
    if percent is None:
        return "unknown"
    return "growing" if percent > 5 else "shrinking" if percent < -5 else "stable"


def try_histories(store: AnyStore, examples: int) -> None:
    growth = CapacityGrowth(store.begin, lambda: AFTERWARDS, "UTC")

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EVENTS)
    def try_one(events: Sequence[tuple[int, dict[str, DatabaseSize | Outcome | int]]]) -> None:
        instance_id = add_instance(store, f"shop {next(NUMBERS)}")
        for arrival, (number, found) in enumerate(events):
            at = NOON.replace(month=3, day=FIRST.day) + number * DAY + timedelta(seconds=arrival)
            sync(store, instance_id, named(found), Moment(at, FIRST + number * DAY))
        growth.aggregate(FIRST, FIRST + SPAN * DAY, instance_id=instance_id)
        check(store, instance_id, known_sizes(events))
        growth.aggregate(FIRST, FIRST + SPAN * DAY)
        check(store, instance_id, known_sizes(events))
        with store.begin() as work:  # the next example's fleet is its own instance alone
            work.instances.save(evolve(work.instances.get(instance_id), is_active=False))
            work.commit()

    try_one()


def test_in_memory() -> None:
    try_histories(MemoryStore(), 30)


def test_in_sqlite(sqlite_template: Path, tmp_path: Path) -> None:
    with closing(open_store(copied_sqlite(sqlite_template, tmp_path))) as store:
        try_histories(store, 12)


@pytest.mark.live
def test_in_postgresql(postgres: Server, postgres_template: str) -> None:
    with closing(open_store(new_database(postgres, postgres_template))) as store:
        try_histories(store, 12)
