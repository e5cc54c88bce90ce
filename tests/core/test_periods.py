"""Periods, held against a calendar that is counted day by day from 1970 to 2200."""

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NoReturn

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import an_instance

from capacity_adapters.memory import MemoryStore
from capacity_core.application import CapacityApplication
from capacity_core.errors import InvalidInputError
from capacity_core.growth import CapacityGrowth
from capacity_core.periods import Period, PeriodType, last_complete, period_of, periods_between

pytestmark = pytest.mark.unit

FIRST, LAST = date(1970, 1, 1), date(2200, 12, 31)
YEARS = range(FIRST.year, LAST.year + 1)
DAY = timedelta(days=1)
QUARTERS = (((1, 1), (3, 31)), ((4, 1), (6, 30)), ((7, 1), (9, 30)), ((10, 1), (12, 31)))
KINDS = st.sampled_from(PeriodType)
DAYS = st.dates(FIRST, LAST)


def counted(kind: PeriodType) -> Iterator[tuple[date, date]]:
    """Count the first and last days of the periods, by other means than the code's."""
    if kind is PeriodType.WEEKLY:
        mondays = [date(1969, 12, 29) + number * 7 * DAY for number in range(12_054)]
        yield from ((monday, monday + 6 * DAY) for monday in mondays)
    elif kind is PeriodType.DAILY:
        yield from ((FIRST + n * DAY, FIRST + n * DAY) for n in range((LAST - FIRST).days + 1))
    elif kind is PeriodType.MONTHLY:
        for year in YEARS:
            for month in range(1, 13):
                length = calendar.monthrange(year, month)[1]
                yield date(year, month, 1), date(year, month, length)
    else:
        for year in YEARS:
            yield from ((date(year, *begin), date(year, *end)) for begin, end in QUARTERS)


@lru_cache
def oracle(kind: PeriodType) -> list[Period]:
    return [Period(kind, start, end) for start, end in counted(kind)]


@pytest.mark.parametrize("kind", PeriodType)
def test_every_day_belongs_to_one_period_and_it_is_the_calendars(kind: PeriodType) -> None:
    day = oracle(kind)[0].start
    for period in oracle(kind):
        assert (period.start, period.days) == (day, (period.end - day).days + 1)
        while day <= period.end:
            assert period_of(kind, day) == period
            day += DAY
    assert day > LAST


@pytest.mark.parametrize("kind", PeriodType)
def test_neighbours_touch_and_name_each_other(kind: PeriodType) -> None:
    for before, after in pairwise(oracle(kind)):
        assert (after.previous, before.following) == (before, after)
        assert after.previous.end == after.start - DAY


@pytest.mark.parametrize(
    ("kind", "day", "first", "last", "before"),
    [
        (PeriodType.DAILY, "2024-03-01", "2024-03-01", "2024-03-01", "2024-02-29"),
        (PeriodType.WEEKLY, "2026-01-01", "2025-12-29", "2026-01-04", "2025-12-28"),
        (PeriodType.WEEKLY, "2021-01-03", "2020-12-28", "2021-01-03", "2020-12-27"),
        (PeriodType.MONTHLY, "2024-02-10", "2024-02-01", "2024-02-29", "2024-01-31"),
        (PeriodType.MONTHLY, "2100-02-10", "2100-02-01", "2100-02-28", "2100-01-31"),
        (PeriodType.MONTHLY, "2026-01-31", "2026-01-01", "2026-01-31", "2025-12-31"),
        (PeriodType.QUARTERLY, "2026-11-15", "2026-10-01", "2026-12-31", "2026-09-30"),
        (PeriodType.QUARTERLY, "2026-02-01", "2026-01-01", "2026-03-31", "2025-12-31"),
        (PeriodType.QUARTERLY, "2026-05-31", "2026-04-01", "2026-06-30", "2026-03-31"),
    ],
)
def test_a_period_and_the_day_before_it(
    kind: PeriodType, day: str, first: str, last: str, before: str
) -> None:
    period = period_of(kind, date.fromisoformat(day))
    assert (period.start.isoformat(), period.end.isoformat()) == (first, last)
    assert period.previous.end.isoformat() == before


@given(KINDS, DAYS)
def test_the_last_complete_period_is_the_last_that_has_wholly_passed(
    kind: PeriodType, today: date
) -> None:
    passed = [each for each in oracle(kind) if today - 200 * DAY < each.end < today]
    if passed:
        assert last_complete(kind, today) == passed[-1]
    assert not last_complete(kind, today).is_running(today)
    assert period_of(kind, today).is_running(today)


@given(KINDS, DAYS, st.integers(-3, 200))
def test_the_periods_of_a_range_are_those_that_share_a_day_with_it(
    kind: PeriodType, first: date, length: int
) -> None:
    last = min(first + length * DAY, LAST)
    days = {first + number * DAY for number in range((last - first).days + 1)}
    shared = [each for each in oracle(kind) if days and each.start <= last and each.end >= first]
    assert periods_between(kind, first, last) == shared


@pytest.mark.parametrize("first", [None, date.min, date.max])
@pytest.mark.parametrize("last", [None, date.min, date.max])
def test_the_ends_of_the_calendar_are_an_input_that_is_refused_or_holds_nothing(
    first: date | None, last: date | None
) -> None:
    growth = CapacityGrowth(MemoryStore().begin, lambda: datetime(2026, 3, 10, tzinfo=UTC), "UTC")
    try:
        assert growth.aggregate(first, last).outcomes == ()
    except InvalidInputError as error:
        assert error.field in {"start_date", "end_date"}  # noqa: PT017 -- either is right


# The first instant of a business day and of the next, in UTC, worked out by hand.
@pytest.mark.parametrize(
    ("zone", "day", "begins", "ends", "hours"),
    [
        ("UTC", "2026-03-29", "2026-03-29T00:00", "2026-03-30T00:00", 24),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00", "2026-10-25T23:00", 25),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00", "2026-03-09T04:00", 23),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00", "2026-11-02T05:00", 25),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00", "2026-04-05T13:30", 24.5),
        ("Asia/Kathmandu", "2026-03-29", "2026-03-28T18:15", "2026-03-29T18:15", 24),
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00", "2024-04-26T21:00", 23),
        ("Asia/Shanghai", "2026-03-29", "2026-03-28T16:00", "2026-03-29T16:00", 24),
    ],
)
def test_a_business_day_is_one_day_however_long_it_is(
    zone: str, day: str, begins: str, ends: str, hours: float
) -> None:
    begin, end = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (begins, ends))
    assert end - begin == timedelta(hours=hours)
    expected = date.fromisoformat(day)
    instants = [begin + timedelta(minutes=n) for n in range(0, int(hours * 60), 10)]
    assert {booked(zone, at) for at in [*instants, end - timedelta(microseconds=1)]} == {expected}
    assert booked(zone, begin - timedelta(microseconds=1)) == expected - DAY
    assert booked(zone, end) == expected + DAY


def test_a_day_that_a_place_left_out_is_booked_by_nobody() -> None:
    """Samoa changed its side of the date line, and had no 30th of December in 2011."""
    midnight = datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert booked("Pacific/Apia", midnight - timedelta(seconds=1)) == date(2011, 12, 29)
    assert booked("Pacific/Apia", midnight) == date(2011, 12, 31)


def booked(zone: str, at: datetime) -> date:
    """Give the day by an instance's own time zone; the service's is another."""
    nothing = MemoryStore()
    application = CapacityApplication(
        begin=nothing.begin,
        leases=nothing.leases,
        coordinator_for=_nobody,
        now=lambda: at,
        engines={},
        timezone="Pacific/Kiritimati",
    )
    moment = application.moment_of(evolve(an_instance(), timezone=zone))
    own = evolve(application, timezone=zone)
    assert own.moment_of(an_instance()) == moment
    assert moment.at == at
    return moment.day


def _nobody(*_: object, **__: object) -> NoReturn:
    raise AssertionError("nobody is asked")
